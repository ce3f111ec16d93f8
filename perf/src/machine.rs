//! The machine that figures are made on.

use serde::{Deserialize, Serialize};
use std::fs;

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
    /// Kernel release.
    pub kernel: String,
    /// Frequency governor of the cores; `None` where the kernel does not set frequencies, as in a virtual machine.
    pub governor: Option<String>,
    /// Version of DPDK, where it was used.
    pub dpdk: Option<String>,
    /// Hugepages of each size in KiB: free and reserved.
    pub hugepages: Vec<(u64, u64, u64)>,
    /// What the kernel does with transparent huge pages.
    pub transparent_hugepages: Option<String>,
    /// Frequency of the time stamp counter.
    pub tsc_hz: Option<u64>,
}

/// What the kernel accounted to one core so far, in units of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreTime {
    steal: u64,
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
        Some(Self { steal: *columns.get(7)?, total: columns.iter().sum() })
    }

    /// Percent of the time since `earlier` that the hypervisor gave to others.
    #[must_use]
    pub fn steal_percent_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        self.steal.saturating_sub(earlier.steal) as f64 * 100.0 / total.max(1) as f64
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
    fn steal_is_the_eighth_column() {
        let before = "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 10 0 10 80 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\n";
        let after = "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 20 0 20 130 0 0 0 30 9 0\ncpu10 0 0 0 0 0 0 0 5 0 0\n";
        let (before, after) = (CoreTime::parse(before, 0).expect("cpu0"), CoreTime::parse(after, 0).expect("cpu0"));
        assert!((after.steal_percent_since(before) - 30.0).abs() < 1e-9);
        assert!(before.steal_percent_since(after).abs() < 1e-9, "a counter that goes back");
        assert_eq!(CoreTime::parse("cpu10 0 0 0 0 0 0 0 5 0 0\n", 1), None);
        assert_eq!(CoreTime::parse("cpu1 0 0 0\n", 1), None, "a kernel of old");
    }
}
