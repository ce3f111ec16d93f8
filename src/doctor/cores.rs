//! Cores of workers: left alone by the kernel, fast, and nobody's siblings.

use super::host::ranges;
use super::{Finding, Subject};
use guideway_config::model::{Config, Idle};
use guideway_perf::machine::Machine;
use std::collections::{BTreeMap, BTreeSet};

/// A sleep of the processor that takes longer to end than this costs what an idle worker saves.
const LONGEST_EXIT_US: u64 = 100;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(config) = subject.config else {
        return vec![Finding::unknown("cores", "no --config names the workers"), governor(subject), turbo(subject)];
    };
    let workers: BTreeSet<usize> = config.cores.workers.iter().copied().collect();
    let mut findings = vec![online(subject, config, &workers)];
    findings.extend(alone(subject, config, &workers));
    findings.extend([siblings(subject, config, &workers), governor(subject), turbo(subject)]);
    findings.extend([sleeps(subject, config, &workers), irqbalance(subject, config, &workers)]);
    findings
}

fn online(subject: &Subject<'_>, config: &Config, workers: &BTreeSet<usize>) -> Finding {
    let online = subject.host.cores("/sys/devices/system/cpu/online");
    let wanted: BTreeSet<usize> = workers.iter().copied().chain([config.cores.control]).collect();
    let missing: BTreeSet<usize> = wanted.difference(&online).copied().collect();
    let is = format!("control {}, workers {}", config.cores.control, ranges(workers));
    if online.is_empty() {
        Finding::unknown("cores", "/sys/devices/system/cpu/online does not say which there are")
    } else if !missing.is_empty() {
        Finding::fail("cores", format!("{is}; not there or offline: {}", ranges(&missing)))
            .should(format!("some of {}", ranges(&online)))
            .mend("change [cores], or bring the core up: echo 1 > /sys/devices/system/cpu/cpuN/online")
    } else if workers.contains(&config.cores.control) && workers.len() < online.len() {
        Finding::warn("cores", format!("{is}: a worker shares its core with the control threads"))
            .should("a core of its own for each")
            .mend("change [cores]")
    } else {
        Finding::ok("cores", is)
    }
}

/// What the kernel leaves alone. Workers that sleep when idle share their core on purpose.
fn alone(subject: &Subject<'_>, config: &Config, workers: &BTreeSet<usize>) -> Vec<Finding> {
    let command_line = subject.host.read("/proc/cmdline").unwrap_or_default();
    let option = |name: &str| {
        let value = command_line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.and_then(guideway_config::core_list).unwrap_or_default()
    };
    let sets = [
        (
            "cores.isolated",
            "isolcpus",
            subject.host.cores("/sys/devices/system/cpu/isolated"),
            "isolcpus=managed_irq,domain,",
        ),
        ("cores.nohz_full", "nohz_full", subject.host.cores("/sys/devices/system/cpu/nohz_full"), "nohz_full="),
        ("cores.rcu_nocbs", "rcu_nocbs", option("rcu_nocbs"), "rcu_nocbs="),
    ];
    let one = |(id, name, cores, write): (&str, &str, BTreeSet<usize>, &str)| {
        let missing: BTreeSet<usize> = workers.difference(&cores).copied().collect();
        let is = if cores.is_empty() { format!("{name}: no core") } else { format!("{name}: {}", ranges(&cores)) };
        if missing.is_empty() {
            Finding::ok(id, is)
        } else if config.cores.idle != Idle::Poll {
            Finding::ok(id, format!("{is}; workers that rest when idle do not need it"))
        } else {
            Finding::warn(id, is)
                .should(format!("all workers: {}", ranges(workers)))
                .mend(format!("add {write}{} to the kernel's command line, then restart the machine", ranges(workers)))
        }
    };
    sets.into_iter().map(one).collect()
}

fn siblings(subject: &Subject<'_>, config: &Config, workers: &BTreeSet<usize>) -> Finding {
    let of = |core: usize| {
        let mut siblings =
            subject.host.cores(&format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"));
        siblings.remove(&core);
        siblings
    };
    let busy: BTreeSet<usize> = workers.iter().copied().chain([config.cores.control]).collect();
    let shared: BTreeSet<(usize, usize)> = workers
        .iter()
        .flat_map(|&core| of(core).into_iter().map(move |other| (core.min(other), core.max(other))))
        .filter(|(low, high)| busy.contains(low) && busy.contains(high))
        .collect();
    if shared.is_empty() {
        return Finding::ok("cores.siblings", "no worker shares its execution units with another one of ours");
    }
    let pairs: Vec<String> = shared.iter().map(|(low, high)| format!("{low} and {high}")).collect();
    Finding::warn("cores.siblings", format!("threads of one core: {}", pairs.join(", ")))
        .should("one worker a core, its sibling idle")
        .mend("change [cores], or take the sibling off: echo 0 > /sys/devices/system/cpu/cpuN/online")
}

fn governor(subject: &Subject<'_>) -> Finding {
    match Machine::under(subject.host.root()).governor.as_deref() {
        None => Finding::ok("cpu.governor", "the kernel sets no frequencies here"),
        Some("performance") => Finding::ok("cpu.governor", "performance"),
        Some(others) => Finding::warn("cpu.governor", others)
            .should("performance: the clock never goes down between bursts")
            .mend("cpupower frequency-set -g performance"),
    }
}

fn turbo(subject: &Subject<'_>) -> Finding {
    let intel = subject.host.number("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|off| off == 0);
    let others = || subject.host.number("/sys/devices/system/cpu/cpufreq/boost").map(|on| on == 1);
    match intel.or_else(others) {
        None => Finding::unknown("cpu.turbo", "the kernel does not say, as in most virtual machines"),
        Some(true) => Finding::ok("cpu.turbo", "on: fastest; for figures that repeat exactly switch it off"),
        Some(false) => Finding::ok("cpu.turbo", "off: figures repeat; packets cost more time than they could"),
    }
}

/// Sleeps of the processor from which it comes back late.
fn sleeps(subject: &Subject<'_>, config: &Config, workers: &BTreeSet<usize>) -> Finding {
    if config.cores.idle == Idle::Poll {
        return Finding::ok("cpu.idle", "workers poll: their cores never sleep");
    }
    let mut late = BTreeMap::new();
    for core in workers {
        let folder = format!("/sys/devices/system/cpu/cpu{core}/cpuidle");
        for state in subject.host.list(&folder) {
            let number = |file: &str| subject.host.number(&format!("{folder}/{state}/{file}"));
            let exit = number("latency").unwrap_or(0);
            if exit > LONGEST_EXIT_US && number("disable") != Some(1) {
                let name = subject.host.read(&format!("{folder}/{state}/name")).unwrap_or(state);
                late.insert(name, exit);
            }
        }
    }
    if late.is_empty() {
        return Finding::ok(
            "cpu.idle",
            format!("no sleep of a worker's core takes more than {LONGEST_EXIT_US} us to end"),
        );
    }
    let names: Vec<String> = late.iter().map(|(name, exit)| format!("{name} ({exit} us)")).collect();
    Finding::warn("cpu.idle", format!("workers' cores may sleep deep: {}", names.join(", ")))
        .should(format!("at most {LONGEST_EXIT_US} us to wake up"))
        .mend(format!("cpupower idle-set -D {LONGEST_EXIT_US}"))
}

fn irqbalance(subject: &Subject<'_>, config: &Config, workers: &BTreeSet<usize>) -> Finding {
    let comm = |id: &String| subject.host.read(&format!("/proc/{id}/comm"));
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let runs = subject
        .host
        .list("/proc")
        .iter()
        .filter(|name| is_number(name))
        .any(|id| comm(id).as_deref() == Some("irqbalance"));
    let isolated = subject.host.cores("/sys/devices/system/cpu/isolated");
    if !runs {
        Finding::ok("irqbalance", "not running")
    } else if config.cores.idle != Idle::Poll || workers.is_subset(&isolated) {
        Finding::ok("irqbalance", "running; it leaves isolated cores alone, and workers that rest bear it")
    } else {
        Finding::warn("irqbalance", "running: it may move interrupts to workers' cores")
            .should("workers' cores without interrupts")
            .mend(format!("echo IRQBALANCE_BANNED_CPULIST={} >> /etc/default/irqbalance", ranges(workers)))
            .mend("systemctl restart irqbalance")
    }
}
