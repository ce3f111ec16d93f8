//! Hugepages and what goes with them.

use super::{Finding, Subject};
use crate::run::devices::{is_pci, memory_mb};
use guideway_config::memory::Memory;
use guideway_perf::machine::Machine;

const MIB: u64 = 1 << 20;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = hugepages(subject);
    findings.extend([mount(subject), transparent(subject)]);
    findings.extend(tables(subject));
    findings
}

/// Free and all pages of a size.
struct Pages {
    kib: u64,
    free: u64,
    total: u64,
}

impl Pages {
    fn free_mib(&self) -> u64 {
        self.free * self.kib / 1_024
    }
}

/// Of a node, smallest size first.
fn of_node(subject: &Subject<'_>, node: u64) -> Vec<Pages> {
    let folder = format!("/sys/devices/system/node/node{node}/hugepages");
    let size = |name: &String| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok();
    let mut sizes: Vec<u64> = subject.host.list(&folder).iter().filter_map(size).collect();
    sizes.sort_unstable();
    let number = |kib: u64, file: &str| subject.host.number(&format!("{folder}/hugepages-{kib}kB/{file}")).unwrap_or(0);
    let pages = |kib| Pages { kib, free: number(kib, "free_hugepages"), total: number(kib, "nr_hugepages") };
    sizes.into_iter().map(pages).collect()
}

/// One finding a node. DPDK takes its memory where the control core is.
fn hugepages(subject: &Subject<'_>) -> Vec<Finding> {
    let nodes = subject.host.nodes();
    if nodes.is_empty() {
        let pages = Machine::under(subject.host.root()).hugepages;
        let pages: Vec<Pages> = pages.into_iter().map(|(kib, free, total)| Pages { kib, free, total }).collect();
        return vec![node_finding(subject, None, &pages, true)];
    }
    let home = subject.config.and_then(|config| subject.host.node_of(config.cores.control));
    let one = |(node, _): &(u64, _)| {
        let needed = home.is_none_or(|home| home == *node);
        node_finding(subject, Some(*node), &of_node(subject, *node), needed)
    };
    nodes.iter().map(one).collect()
}

fn node_finding(subject: &Subject<'_>, node: Option<u64>, pages: &[Pages], needed: bool) -> Finding {
    let id = node.map_or_else(|| "hugepages".to_owned(), |node| format!("hugepages.node{node}"));
    let sizes: Vec<String> = pages
        .iter()
        .map(|pages| format!("{} of {} pages of {} MiB free", pages.free, pages.total, pages.kib / 1_024))
        .collect();
    let is = if sizes.is_empty() { "the kernel has none".to_owned() } else { sizes.join(", ") };
    let Some(config) = subject.config else {
        return Finding::unknown(id, format!("{is}; no --config says how many are needed"));
    };
    let need = memory_mb(config) as u64;
    if !needed {
        return Finding::ok(id, format!("{is}; none are needed here, the control core is elsewhere"));
    }
    if pages.iter().any(|pages| pages.free_mib() >= need) {
        return Finding::ok(id, format!("{is}; DPDK needs {need} MiB"));
    }
    let count = need.div_ceil(2);
    let place = node.map_or_else(
        || "/proc/sys/vm/nr_hugepages".to_owned(),
        |node| format!("/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages"),
    );
    let has_pci = config.ports.iter().any(|port| is_pci(&port.device));
    let is = format!("{is}; DPDK needs {need} MiB");
    let finding = if has_pci {
        Finding::fail(id, format!("{is}, and PCI devices work with no other memory"))
    } else {
        Finding::warn(id, format!("{is}: it runs on ordinary pages, which costs TLB misses"))
    };
    finding.should(format!("{count} free pages of 2 MiB")).mend(format!("echo {count} > {place}"))
}

fn mount(subject: &Subject<'_>) -> Finding {
    let mounts = subject.host.read("/proc/mounts").unwrap_or_default();
    let is_huge = |line: &&str| line.split(' ').nth(2) == Some("hugetlbfs");
    match mounts.lines().find(is_huge).and_then(|line| line.split(' ').nth(1)) {
        Some(place) => {
            Finding::ok("hugetlbfs", format!("mounted at {place}; not needed, since nothing is shared by file"))
        }
        None if mounts.is_empty() => Finding::unknown("hugetlbfs", "/proc/mounts cannot be read"),
        None => Finding::ok("hugetlbfs", "not mounted; not needed, since memory is taken without files"),
    }
}

fn transparent(subject: &Subject<'_>) -> Finding {
    let id = "hugepages.transparent";
    match Machine::under(subject.host.root()).transparent_hugepages.as_deref() {
        None => Finding::unknown(id, "the kernel has no transparent huge pages"),
        Some("never") => Finding::warn(id, "never: the table of pins lies on ordinary pages")
            .should("madvise")
            .mend("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
        Some(mode) => Finding::ok(id, mode),
    }
}

/// Ordinary memory against what the configuration needs, which `check` prints.
fn tables(subject: &Subject<'_>) -> Option<Finding> {
    let need = Memory::of(subject.config?);
    let need = (need.total() + need.pins).div_ceil(MIB);
    let text = subject.host.read("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available: Option<u64> = available.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Some(match available.map(|kib| kib / 1_024) {
        None => Finding::unknown("memory", "/proc/meminfo does not say what is available"),
        Some(mib) if mib < need => {
            Finding::fail("memory", format!("{mib} MiB available; tables and pins need {need} MiB"))
                .should("enough for both")
                .mend("lower [state] pins or table_memory, or add memory")
        }
        Some(mib) => Finding::ok("memory", format!("{mib} MiB available; tables and pins need {need} MiB")),
    })
}
