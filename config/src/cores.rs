//! `[cores]`: which cores do what.

use crate::machine::{Intrinsics, Machine};
use crate::model::{Idle, Power};
use crate::reader::{Located, Value};
use crate::report::Report;
use crate::schema;
use std::collections::HashMap;

/// Highest core number: the kernel's set of cores for `sched_setaffinity(2)` has 1024 bits.
pub(crate) const HIGHEST_CORE: u64 = 1023;

pub(crate) struct CoresDraft {
    pub(crate) control: Option<Located<usize>>,
    /// `None` if any entry was refused.
    pub(crate) workers: Option<Vec<Located<usize>>>,
    pub(crate) idle: Option<Idle>,
    pub(crate) power: Option<Power>,
}

/// The words of `idle`.
const IDLE: [(&str, Result<Idle, &str>); 3] =
    [("poll", Ok(Idle::Poll)), ("adaptive", Ok(Idle::Adaptive)), ("interrupt", Ok(Idle::Interrupt))];
/// The words of `power`.
const POWER: [(&str, Result<Power, &str>); 4] = [
    ("off", Ok(Power::Off)),
    ("pause", Ok(Power::Pause)),
    ("monitor", Ok(Power::Monitor)),
    ("scale", Err("the kernel's governor sets frequencies: use idle = \"interrupt\" and the governor schedutil")),
];

/// Reads `[cores]`; with a machine, cores must exist on it.
pub(crate) fn read(value: Value<'_>, machine: Option<&Machine>, report: &mut Report) -> Option<CoresDraft> {
    let mut cores = value.table(&schema::CORES, report)?;
    let control = cores.need("control", report).and_then(|value| core(value, machine, report));
    let workers = cores.need("workers", report).and_then(|value| workers(value, machine, report));
    let idle = match cores.get("idle") {
        Some(value) => value.word(&IDLE, report).map(|idle| idle.value),
        None => Some(Idle::Poll),
    };
    let power = match cores.get("power") {
        Some(value) => value.word(&POWER, report).and_then(|power| power_of(power, idle, machine, report)),
        None => Some(Power::Off),
    };
    cores.finish(report);
    if let (Some(control), Some(workers), Some(Idle::Poll)) = (control, &workers, idle) {
        shared_core(control, workers, report);
    }
    Some(CoresDraft { control, workers, idle, power })
}

/// Power is saved between polls, by instructions that the processor must have.
fn power_of(
    power: Located<Power>,
    idle: Option<Idle>,
    machine: Option<&Machine>,
    report: &mut Report,
) -> Option<Power> {
    let Located { at, value } = power;
    if value == Power::Off {
        return Some(value);
    }
    if let Some(idle) = idle.filter(|idle| *idle != Idle::Poll) {
        let message = format!("`power`: a worker with idle = \"{}\" sleeps, which saves more", idle.label());
        report.error(at, message).help("remove `power`, or set idle = \"poll\"");
        return None;
    }
    let lacks = machine.map(Machine::intrinsics).and_then(|has| lacking(value, has));
    if let Some(lacks) = lacks {
        let message = format!("power = \"{}\": this machine's processor lacks {lacks}", value.label());
        let help = "remove `power`; idle = \"interrupt\" or \"adaptive\" saves power on any processor";
        report.error(at, message).help(help);
        return None;
    }
    Some(value)
}

/// What a processor lacks for this; `None`: nothing.
const fn lacking(power: Power, has: Intrinsics) -> Option<&'static str> {
    match power {
        Power::Pause if !has.pause => Some("an instruction to pause for a time (TPAUSE, CPU flag waitpkg)"),
        Power::Monitor if !has.monitor => Some("an instruction to wait for a write (UMWAIT, CPU flag waitpkg)"),
        Power::Off | Power::Pause | Power::Monitor => None,
    }
}

/// A worker that never pauses starves the control threads on its core.
fn shared_core(control: Located<usize>, workers: &[Located<usize>], report: &mut Report) {
    if let Some(worker) = workers.iter().find(|worker| worker.value == control.value) {
        report
            .error(
                control.at,
                format!("`control`: core {} is a worker's core, and workers poll without pause", control.value),
            )
            .related(worker.at, "given to a worker")
            .help("give control a core of its own, or set idle = \"adaptive\"");
    }
}

fn workers(value: Value<'_>, machine: Option<&Machine>, report: &mut Report) -> Option<Vec<Located<usize>>> {
    let items = value.array("core numbers", report)?;
    if items.is_empty() {
        report
            .error(value.at, "`workers` is empty")
            .help("list the cores that are to forward packets, for example [1]");
        return None;
    }
    let too_many = machine.filter(|machine| items.len() > machine.count());
    if let Some(machine) = too_many {
        let message = format!("`workers` lists {} cores, and this machine has {}", items.len(), machine.count());
        report.error(value.at, message).help("list each core once, one of them left for control");
        return None;
    }
    let cores = items.into_iter().map(|item| core(item, machine, report)).collect::<Vec<_>>();
    let cores = cores.into_iter().collect::<Option<Vec<_>>>()?;
    distinct(&cores, report).then_some(cores)
}

fn core(value: Value<'_>, machine: Option<&Machine>, report: &mut Report) -> Option<Located<usize>> {
    let core = value.integer(0, HIGHEST_CORE, report)?.map(|core| core as usize);
    if let Some(machine) = machine.filter(|machine| !machine.has(core.value)) {
        report.error(core.at, format!("core {} does not exist: this machine has {}", core.value, machine.describe()));
        return None;
    }
    Some(core)
}

/// Reports cores that a list names twice; whether there were none.
pub(crate) fn distinct(cores: &[Located<usize>], report: &mut Report) -> bool {
    let mut first = HashMap::new();
    let mut distinct = true;
    for core in cores {
        if let Some(&at) = first.get(&core.value) {
            report.error(core.at, format!("core {} is listed twice", core.value)).related(at, "first listed");
            distinct = false;
        } else {
            first.insert(core.value, core.at);
        }
    }
    distinct
}
