//! The machine that figures are made on.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The processor's name, and whether a hypervisor is under the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    /// As the kernel names it; "unknown" where it does not.
    pub model: String,
    /// Whether this is a virtual machine, as far as the processor tells.
    pub virtual_machine: bool,
}

impl Processor {
    /// This machine's.
    #[must_use]
    pub fn this() -> Self {
        Self::parse(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    fn parse(cpuinfo: &str) -> Self {
        let field = |name: &str| {
            let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
        };
        Self {
            model: field("model name").unwrap_or("unknown").to_owned(),
            virtual_machine: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        }
    }
}

/// What a reader needs to know of a machine to judge figures that were made on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Whether this is a virtual machine.
    pub virtual_machine: bool,
    /// Cores that this process may use.
    pub cores: usize,
    /// Cores that the scheduler keeps free of other work (`isolcpus`), as the kernel lists them: "2-7"; empty if none.
    pub isolated_cores: String,
    /// Whether cores share their execution units with a sibling thread.
    pub smt: bool,
    /// NUMA nodes.
    pub numa_nodes: usize,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Kernel release.
    pub kernel: String,
    /// Frequency governor of the cores; `None` where the kernel does not set frequencies, as in a virtual machine. Where
    /// cores differ, all that there are, with commas between them.
    pub governor: Option<String>,
    /// Version of DPDK, where it was used.
    pub dpdk: Option<String>,
    /// Hugepages of each size, smallest first: KiB of a page, pages free, pages reserved.
    pub hugepages: Vec<(u64, u64, u64)>,
    /// What the kernel does with transparent huge pages: "always", "madvise" or "never".
    pub transparent_hugepages: Option<String>,
    /// Frequency of the time stamp counter.
    pub tsc_hz: Option<u64>,
}

impl Machine {
    /// This machine as it is now. `dpdk` is its version if it is used, `tsc_hz` the counter's frequency if it is known.
    #[must_use]
    pub fn this(dpdk: Option<String>, tsc_hz: Option<u64>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let affinity = sched_getaffinity(Pid::from_raw(0));
        // A quota of processor time makes available_parallelism less than the cores are.
        let allowed = affinity.map(|set| (0..CpuSet::count()).filter(|&core| set.is_set(core) == Ok(true)).count());
        Self { cores: allowed.unwrap_or(cores), dpdk, tsc_hz, ..Self::under(Path::new("/")) }
    }

    /// What the files of a kernel below `root` say. A file that is not there leaves its field empty.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned());
        let Processor { model, virtual_machine } = Processor::parse(&read("proc/cpuinfo").unwrap_or_default());
        Self {
            processor: model,
            virtual_machine,
            isolated_cores: read("sys/devices/system/cpu/isolated").unwrap_or_default(),
            smt: read("sys/devices/system/cpu/smt/active").is_some_and(|active| active == "1"),
            numa_nodes: numbered(&root.join("sys/devices/system/node"), "node").len().max(1),
            memory_kib: read("proc/meminfo").and_then(|text| memory_kib(&text)).unwrap_or(0),
            kernel: read("proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
            governor: governor(&root.join("sys/devices/system/cpu")),
            hugepages: hugepages(&root.join("sys/kernel/mm/hugepages")),
            transparent_hugepages: read("sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())),
            ..Self::default()
        }
    }
}

/// The entries of `directory` whose names are `prefix` and a number, by number.
fn numbered(directory: &Path, prefix: &str) -> BTreeMap<u64, PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let number = |name: &str| name.strip_prefix(prefix)?.trim_end_matches("kB").parse().ok();
    entries.filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path()))).collect()
}

fn memory_kib(meminfo: &str) -> Option<u64> {
    meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.split_whitespace().next()?.parse().ok()
}

fn governor(cpus: &Path) -> Option<String> {
    let of = |cpu: PathBuf| fs::read_to_string(cpu.join("cpufreq/scaling_governor")).ok();
    let found: BTreeSet<String> =
        numbered(cpus, "cpu").into_values().filter_map(of).map(|text| text.trim().to_owned()).collect();
    (!found.is_empty()).then(|| Vec::from_iter(found).join(", "))
}

fn hugepages(sizes: &Path) -> Vec<(u64, u64, u64)> {
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse().ok();
    let pages = |directory: &Path, file: &str| number(directory.join(file)).unwrap_or(0);
    numbered(sizes, "hugepages-")
        .into_iter()
        .map(|(kib, size)| (kib, pages(&size, "free_hugepages"), pages(&size, "nr_hugepages")))
        .collect()
}

/// What the kernel accounted to one core so far, in units of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreTime {
    steal: u64,
    idle: u64,
    total: u64,
}

impl CoreTime {
    /// Of `core` now; `None` if there is no such core.
    #[must_use]
    pub fn of(core: usize) -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?, core)
    }

    /// The columns of proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; guest times are in user.
    fn parse(stat: &str, core: usize) -> Option<Self> {
        let name = format!("cpu{core}");
        let line = stat.lines().find(|line| line.split(' ').next() == Some(&name))?;
        let columns: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|text| text.parse().ok()).collect();
        let idle = columns.get(3)? + columns.get(4)?;
        Some(Self { steal: *columns.get(7)?, idle, total: columns.iter().sum() })
    }

    /// Percent of the time since `earlier` that the hypervisor gave to others.
    #[must_use]
    pub fn steal_percent_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        self.steal.saturating_sub(earlier.steal) as f64 * 100.0 / total.max(1) as f64
    }

    /// Percent of the time since `earlier` that the core was not idle, what the hypervisor took included. Zero if no time passed.
    #[must_use]
    pub fn busy_percent_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        let idle = self.idle.saturating_sub(earlier.idle).min(total);
        (total - idle) as f64 * 100.0 / total.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 9654\nflags\t\t: fpu hypervisor aes\n\nprocessor\t: 1\n";
        assert_eq!(Processor::parse(cpuinfo), Processor { model: "AMD EPYC 9654".into(), virtual_machine: true });
        assert_eq!(Processor::parse(""), Processor { model: "unknown".into(), virtual_machine: false });
        assert!(!Processor::parse("flags: fpu hypervisors\n").virtual_machine);
    }

    #[test]
    fn idle_and_steal_are_in_their_columns() {
        let before = "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 10 0 10 80 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\n";
        let after = "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 20 0 20 130 0 0 0 30 9 0\ncpu10 0 0 0 0 0 0 0 5 0 0\n";
        let (before, after) = (CoreTime::parse(before, 0).expect("cpu0"), CoreTime::parse(after, 0).expect("cpu0"));
        assert!((after.steal_percent_since(before) - 30.0).abs() < 1e-9);
        assert!((after.busy_percent_since(before) - 50.0).abs() < 1e-9);
        assert!(before.steal_percent_since(after).abs() < 1e-9, "a counter that goes back");
        assert!(before.busy_percent_since(after).abs() < 1e-9, "a counter that goes back");
        assert_eq!(CoreTime::parse("cpu10 0 0 0 0 0 0 0 5 0 0\n", 1), None);
        assert_eq!(CoreTime::parse("cpu1 0 0 0\n", 1), None, "a kernel of old");
    }

    fn kernel(files: &[(&str, &str)]) -> std::io::Result<tempfile::TempDir> {
        let root = tempfile::tempdir()?;
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::write(path, text)?;
        }
        Ok(root)
    }

    #[test]
    fn a_machine_is_what_its_kernel_says() -> std::io::Result<()> {
        let root = kernel(&[
            ("proc/cpuinfo", "model name\t: AMD EPYC 9654\nflags\t: fpu\n"),
            ("proc/meminfo", "MemTotal:        8135220 kB\nMemFree: 1 kB\n"),
            ("proc/sys/kernel/osrelease", "6.18.44\n"),
            ("sys/devices/system/cpu/isolated", "2-7\n"),
            ("sys/devices/system/cpu/smt/active", "1\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
            ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance\n"),
            ("sys/devices/system/cpu/cpufreq/policy0", ""),
            ("sys/devices/system/node/node0/cpulist", "0-3"),
            ("sys/devices/system/node/node1/cpulist", "4-7"),
            ("sys/devices/system/node/online", "0-1"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "4\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "3\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ])?;
        let expected = Machine {
            processor: "AMD EPYC 9654".to_owned(),
            isolated_cores: "2-7".to_owned(),
            smt: true,
            numa_nodes: 2,
            memory_kib: 8_135_220,
            kernel: "6.18.44".to_owned(),
            governor: Some("performance, powersave".to_owned()),
            hugepages: vec![(2_048, 0, 0), (1_048_576, 3, 4)],
            transparent_hugepages: Some("madvise".to_owned()),
            ..Machine::default()
        };
        assert_eq!(Machine::under(root.path()), expected);
        Ok(())
    }

    #[test]
    fn a_kernel_that_says_nothing_is_no_error() -> std::io::Result<()> {
        let machine = Machine::under(kernel(&[])?.path());
        assert_eq!((&*machine.processor, &*machine.kernel, machine.numa_nodes), ("unknown", "unknown", 1));
        assert_eq!((machine.governor, machine.transparent_hugepages, machine.hugepages), (None, None, vec![]));
        Ok(())
    }

    #[test]
    fn this_machine_has_cores_memory_and_a_kernel() {
        let machine = Machine::this(Some("DPDK 22.11".to_owned()), Some(1));
        assert!(machine.cores > 0 && machine.memory_kib > 0 && machine.kernel != "unknown", "{machine:?}");
        assert_eq!((machine.dpdk.as_deref(), machine.tsc_hz), (Some("DPDK 22.11"), Some(1)));
    }
}
