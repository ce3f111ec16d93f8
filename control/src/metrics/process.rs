//! Families of the process: what it is, its snapshots, its control side, pins, and the way to the kernel.

use super::families::Families;
use super::sample::Sample;
use crate::exception::TapReport;
use crate::neighbor;
use guideway_dataplane::counters::{Counter, PinCounters, SessionCounters};
use std::fmt;

pub(super) fn process(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    families.gauges("build_info", "The version of the program.", [([("version", version)], 1_u64)])?;
    families.gauge("start_time_seconds", "When the process started, in seconds since 1970.", sample.started)?;
    families.gauge("snapshot_generation", "The latest snapshot published.", sample.generation)?;
    families.gauge(
        "snapshot_acknowledged_generation",
        "The latest snapshot that every worker uses.",
        sample.acknowledged,
    )
}

pub(super) fn control(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let prober = &sample.report.prober;
    families.counter("probes_sent", "Probes sent, of health checks.", prober.sent)?;
    let results = [
        ("answered", prober.answered),
        ("timeout", prober.timeouts),
        ("refused", prober.refused),
        ("unreachable", prober.unreachable),
        ("void", prober.void),
    ];
    families.counters(
        "probes",
        "Probes by result; void: not judged, since this process was late itself.",
        results.map(|(result, count)| ([("result", result)], count)),
    )?;
    families.counter(
        "probe_rounds_skipped",
        "Rounds of probes that were not sent, since this process was too late for them.",
        prober.skipped,
    )?;
    families.counter(
        "probes_out_of_turn",
        "Probes that were sent out of turn, since something spoke against a backend that is up.",
        sample.report.out_of_turn,
    )?;
    families.counter(
        "unreachable_errors",
        "ICMP errors that spoke of a forwarded packet to a backend: its checks ask at once.",
        sample.report.suspicions,
    )?;
    families.counter(
        "check_answers_lost",
        "Packets to checks that are conversations which found no room on their way.",
        sample.report.lost,
    )?;
    let ignored = [
        ("malformed", prober.malformed),
        ("not_an_answer", prober.not_an_answer),
        ("not_ours", prober.not_ours),
        ("wrong_cookie", prober.wrong_cookie),
        ("stale", prober.stale),
        ("late", prober.late),
    ];
    families.counters(
        "probe_answers_ignored",
        "Packets to the prober that judged nothing, by reason.",
        ignored.map(|(reason, count)| ([("reason", reason)], count)),
    )?;
    neighbors(families, sample)?;
    let responder = &sample.report.responder;
    families.counter(
        "neighbor_answers",
        "ARP requests and neighbor solicitations answered.",
        responder.arp + responder.ndp,
    )?;
    families.counter("echo_answers", "Echo requests answered.", responder.echo)?;
    families.counter(
        "inject_full",
        "Packets of the control side that found the ring to their worker full.",
        sample.report.inject_full,
    )?;
    families.counter(
        "inject_no_buffer",
        "Packets of the control side that found no free buffer.",
        sample.report.no_buffer,
    )?;
    let (in_use, all) = sample.buffers;
    families.gauge("buffers", "Packet buffers.", all)?;
    families.gauge("buffers_used", "Packet buffers in use.", in_use)
}

fn neighbors(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let states = [
        ("static", neighbor::State::Static),
        ("unresolved", neighbor::State::Unresolved),
        ("reachable", neighbor::State::Reachable),
        ("stale", neighbor::State::Stale),
        ("probing", neighbor::State::Probing),
    ];
    families.gauges(
        "neighbors",
        "Next hops by state.",
        states.map(|(label, state)| ([("state", label)], sample.neighbors(state) as u64)),
    )
}

pub(super) fn pins(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let sum = |of: fn(&PinCounters) -> &Counter| -> u64 { sample.counters.iter().map(|c| of(&c.pins).get()).sum() };
    families.gauge("pins_capacity", "Pins that fit: [state] pins.", sample.pins_capacity)?;
    families.gauge("pins_used", "Pins in use, never too few.", sample.pins_in_use)?;
    families.counter("pins_inserted", "Pins that workers wrote for flows without one.", sum(|pins| &pins.inserted))?;
    families.counter(
        "pins_removed",
        "Pins that workers took away since their slot says the same.",
        sum(|pins| &pins.removed),
    )?;
    families.counter("pins_failed", "Pins that found no room.", sum(|pins| &pins.failed))?;
    let evicted = [
        ("embryonic", sum(|pins| &pins.evicted_embryonic)),
        ("single", sum(|pins| &pins.evicted_single)),
        ("confirmed", sum(|pins| &pins.evicted_confirmed)),
    ];
    families.counters(
        "pins_evicted",
        "Pins whose place another one took, by how far their flow was.",
        evicted.map(|(flow, count)| ([("flow", flow)], count)),
    )?;
    families.counter(
        "pins_contended",
        "Packets that went without a pin since other workers changed it all the time.",
        sum(|pins| &pins.contended),
    )
}

/// Nothing where no pool rewrites addresses.
pub(super) fn sessions(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    if !sample.config.pools.iter().any(|pool| pool.forward.is_nat()) {
        return Ok(());
    }
    let sum =
        |of: fn(&SessionCounters) -> &Counter| -> u64 { sample.counters.iter().map(|c| of(&c.sessions).get()).sum() };
    let capacity = u64::from(sample.config.sessions) * sample.counters.len() as u64;
    families.gauge("sessions_capacity", "Sessions that fit: [state] sessions of every worker.", capacity)?;
    families.gauge("sessions", "Sessions now.", sum(|sessions| &sessions.live))?;
    families.counter("sessions_created", "Sessions that began.", sum(|sessions| &sessions.created))?;
    families.counter(
        "sessions_expired",
        "Sessions that ended by their silence; ended connections are among them.",
        sum(|sessions| &sessions.expired),
    )?;
    families.counter(
        "sessions_evicted",
        "Sessions that gave way to others: in their handshake, or silent where [state] sessions_full is evict.",
        sum(|sessions| &sessions.evicted),
    )?;
    families.counter(
        "connections_retried",
        "Connections that another backend got since theirs did not answer, or refused.",
        sum(|sessions| &sessions.retried),
    )?;
    families.counter(
        "connections_unanswered",
        "Connections that no backend answered in time.",
        sum(|sessions| &sessions.unanswered),
    )?;
    families.counter(
        "sessions_reset",
        "Established connections that were silent for too long: both sides were told.",
        sum(|sessions| &sessions.reset),
    )?;
    families.counter("syn_proxy_cookies", "SYNs answered with a cookie.", sum(|sessions| &sessions.cookies))?;
    families.counter("syn_proxy_proven", "Clients that acknowledged a cookie.", sum(|sessions| &sessions.proven))?;
    families.counter("proxy_headers", "PROXY headers sent in segments of their own.", sum(|sessions| &sessions.headers))
}

pub(super) fn exception(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let mut frames = Vec::new();
    let mut dropped = Vec::new();
    for tap in &sample.report.taps {
        let port = ("port", sample.config.ports[tap.port.index()].name.as_str());
        let TapReport { to_kernel, to_kernel_drops, from_kernel, from_kernel_drops, .. } = tap;
        for (direction, count, drops) in
            [("to_kernel", to_kernel, to_kernel_drops), ("from_kernel", from_kernel, from_kernel_drops)]
        {
            let direction = ("direction", direction);
            frames.push(([port, direction], *count));
            dropped
                .extend(drops.iter().map(|(reason, count)| ([port, direction, ("reason", reason.as_str())], *count)));
        }
    }
    families.counters("exception_frames", "Frames that passed the exception path.", frames)?;
    families.counters(
        "exception_dropped_frames",
        "Frames that the exception path dropped, by reason; reasons that never happened are left out.",
        dropped,
    )
}
