//! Processor, kernel, DPDK: what nobody changes by a setting.

use super::{Finding, Subject};
use guideway_perf::machine::Machine;

/// The oldest kernel that is known to work with AF_XDP in need_wakeup mode.
const OLDEST_KERNEL: (u32, u32) = (5, 4);
/// The oldest DPDK.
const OLDEST_DPDK: (u32, u32) = (22, 11);

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let machine = Machine::under(subject.host.root());
    vec![kernel(&machine), dpdk(&guideway_dpdk::version()), aes(subject), time(subject)]
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches(|c: char| !c.is_ascii_digit()).split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(machine: &Machine) -> Finding {
    let kind = if machine.virtual_machine { "virtual machine" } else { "bare metal" };
    let is = format!("Linux {}, {}, {kind}", machine.kernel, machine.processor);
    match version(&machine.kernel) {
        None => Finding::unknown("kernel", "/proc/sys/kernel/osrelease does not say"),
        Some(version) if version < OLDEST_KERNEL => {
            Finding::warn("kernel", is).should("Linux 5.4 or newer").mend("install a newer kernel")
        }
        Some(_) => Finding::ok("kernel", is),
    }
}

fn dpdk(text: &str) -> Finding {
    match version(text) {
        Some(version) if version >= OLDEST_DPDK => Finding::ok("dpdk", text),
        _ => Finding::fail("dpdk", text)
            .should("DPDK 22.11 or newer")
            .mend("build against libdpdk-dev of Debian 12 or newer"),
    }
}

/// Every packet is hashed by AES.
fn aes(subject: &Subject<'_>) -> Finding {
    let flags = subject.host.processor("flags");
    let has = |flag: &str| flags.iter().any(|known| known == flag);
    if flags.is_empty() {
        return Finding::unknown("processor.aes", "/proc/cpuinfo names no flags");
    }
    match (has("aes"), has("vaes") && has("avx512f")) {
        (true, true) => Finding::ok("processor.aes", "AES-NI, and VAES with AVX-512: four hashes at once"),
        (true, false) => Finding::ok("processor.aes", "AES-NI; without VAES and AVX-512 one hash at a time"),
        (false, _) => Finding::warn("processor.aes", "no AES-NI: the hash is computed in software")
            .should("AES-NI")
            .mend("in a virtual machine pass the host's processor through (QEMU: -cpu host)"),
    }
}

fn time(subject: &Subject<'_>) -> Finding {
    let flags = subject.host.processor("flags");
    let has = |flag: &str| flags.iter().any(|known| known == flag);
    let source = subject.host.read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let source = source.unwrap_or_else(|| "unknown".to_owned());
    match (flags.is_empty(), has("constant_tsc") && has("nonstop_tsc")) {
        (true, _) => Finding::unknown("processor.tsc", "/proc/cpuinfo names no flags"),
        (false, true) => Finding::ok("processor.tsc", format!("invariant; the kernel's clock source is {source}")),
        (false, false) => {
            Finding::warn("processor.tsc", format!("not known to be invariant; the kernel uses {source}"))
                .should("constant_tsc and nonstop_tsc: all time is that of the counter")
                .mend("in a virtual machine let the host pass invtsc; else use a processor of this decade")
        }
    }
}
