//! The conditions of a run as pairs of words: for the head of a page, and to tell two runs' conditions apart.

use crate::machine::Machine;
use crate::record::Record;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A fact: what it is about, and what is so.
pub type Fact = (&'static str, String);

/// What a reader needs to know of a machine. The facts are the same ones, in the same order, for every machine.
#[must_use]
pub fn of_machine(machine: &Machine) -> Vec<Fact> {
    let or = |text: &Option<String>, otherwise: &str| text.clone().unwrap_or_else(|| otherwise.to_owned());
    let yes_or_no = |so: bool| if so { "yes" } else { "no" }.to_owned();
    let isolated = if machine.isolated_cores.is_empty() { "none" } else { &machine.isolated_cores };
    vec![
        ("processor", machine.processor.clone()),
        ("virtual machine", yes_or_no(machine.virtual_machine)),
        ("cores it may use", machine.cores.to_string()),
        ("isolated cores", isolated.to_owned()),
        ("sibling threads", yes_or_no(machine.smt)),
        ("NUMA nodes", machine.numa_nodes.to_string()),
        ("memory", format!("{:.1} GiB", machine.memory_kib as f64 / f64::from(1 << 20))),
        ("kernel", machine.kernel.clone()),
        ("frequency governor", or(&machine.governor, "not the kernel's")),
        ("time stamp counter", machine.tsc_hz.map_or("unknown".to_owned(), |hz| format!("{:.3} GHz", hz as f64 / 1e9))),
        ("DPDK", or(&machine.dpdk, "not used")),
        ("hugepages", hugepages(&machine.hugepages, true)),
        ("transparent huge pages", or(&machine.transparent_hugepages, "unknown")),
    ]
}

/// Sizes without a page do not count; how many pages are free is told if `free`.
fn hugepages(sizes: &[(u64, u64, u64)], free: bool) -> String {
    let size = |kib: u64| match kib {
        kib if kib % (1 << 20) == 0 => format!("{} GiB", kib >> 20),
        kib if kib % (1 << 10) == 0 => format!("{} MiB", kib >> 10),
        kib => format!("{kib} KiB"),
    };
    let text = |&(kib, unused, reserved): &(u64, u64, u64)| {
        format!("{reserved} of {}{}", size(kib), if free { format!(", {unused} free") } else { String::new() })
    };
    let texts: Vec<_> = sizes.iter().filter(|(_, _, reserved)| *reserved > 0).map(text).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join("; ") }
}

/// When a run began, as RFC 3339 has it, in UTC.
#[must_use]
pub fn started(record: &Record) -> String {
    let moment = i64::try_from(record.started).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{} s", record.started))
}

/// The command line, quoted so that a shell takes it back.
#[must_use]
pub fn command_line(record: &Record) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:@%".contains(c);
    let quoted = |word: &String| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    record.command_line.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What differs between the conditions of two runs, in sentences.
#[must_use]
pub fn differences(a: &Record, b: &Record) -> Vec<String> {
    let pairs = of_machine(&a.machine).into_iter().zip(of_machine(&b.machine)).filter(|(a, _)| a.0 != "hugepages");
    // How many are free just then is no condition.
    let [pages_a, pages_b] = [a, b].map(|record| ("hugepages", hugepages(&record.machine.hugepages, false)));
    let pairs = pairs.chain([(pages_a, pages_b)]);
    let mut found: Vec<String> =
        pairs.filter(|((_, a), (_, b))| a != b).map(|((what, a), (_, b))| format!("{what}: A {a}; B {b}")).collect();
    let [of_a, of_b] = [a, b].map(|record| record.results.present().conditions());
    let only = |name: &str, these: &[String], others: &[String]| {
        these.iter().filter(|it| !others.contains(it)).map(|it| format!("only {name}: {it}")).collect::<Vec<_>>()
    };
    found.extend(only("A", &of_a, &of_b));
    found.extend(only("B", &of_b, &of_a));
    found
}
