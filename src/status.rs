//! `guideway status`.

mod checks;

use crate::Failure;
use crate::backend::{failure, pool_of, split};
use anyhow::Context;
use guideway_control::api::client::Client;
use guideway_control::status::model::{
    BackendStatus, ControlStatus, PinsStatus, PoolStatus, SourcePortsStatus, Status, TransitionStatus, WorkerStatus,
};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Options of `status`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One backend, with the last results of its checks: POOL/NAME, or NAME where only one pool has it.
    #[arg(value_name = "BACKEND")]
    backend: Option<String>,
    /// The control socket of the running process.
    #[arg(long, value_name = "PATH", default_value = guideway_config::model::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Everything, as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn status(args: &Args) -> Result<(), Failure> {
    if let Some(backend) = &args.backend {
        return of_backend(args, backend);
    }
    let status = Client::new(&args.socket)?.status()?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print!("{}", screen(&status).context("cannot format the status")?);
    }
    Ok(())
}

fn of_backend(args: &Args, backend: &str) -> Result<(), Failure> {
    let client = Client::new(&args.socket)?;
    let (pool, name) = match split(backend)? {
        (Some(pool), name) => (pool.to_owned(), name),
        (None, name) => (pool_of(&client.status()?, name, false)?, name),
    };
    let history = client.history(&pool, name).map_err(failure)?;
    let backends = client.pool(&pool).map_err(failure)?.backends;
    let backend = backends.into_iter().find(|backend| backend.name == name);
    let backend = backend.with_context(|| format!("{pool}/{name} is gone"))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "backend": backend, "history": history }))?);
    } else {
        print!("{}", checks::of_backend(&backend, &history).context("cannot format the status")?);
    }
    Ok(())
}

/// The status for people.
fn screen(status: &Status) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let snapshot = if status.generation == status.acknowledged_generation { "in use" } else { "not yet in use" };
    writeln!(
        out,
        "guideway {}, pid {}, up {}, snapshot {} ({snapshot} on every worker)",
        status.version,
        status.pid,
        duration(status.uptime_seconds),
        status.generation
    )?;
    if let Some(drain) = &status.drain {
        writeln!(out, "{}", crate::drain::line(drain))?;
    }
    for vip in &status.vips {
        let serving = if vip.serving { "serving" } else { "NOT SERVING: no backend" };
        let (packets, bytes) = (vip.traffic.packets, size(vip.traffic.bytes));
        let (address, port, protocol) = (&vip.address, &vip.port, &vip.protocol);
        writeln!(out, "\nvip {address} {protocol} {port} -> {}: {serving}, {packets} packets, {bytes}", vip.pool)?;
    }
    for pool in &status.pools {
        writeln!(
            out,
            "\npool {} ({}, {} slots, {} moved, table {})",
            pool.name, pool.forward, pool.table_size, pool.slots_moved, pool.table_digest
        )?;
        transition_line(&mut out, &pool.transition)?;
        backend_header(&mut out)?;
        for backend in &pool.backends {
            backend_line(&mut out, backend)?;
            checks::check_lines(&mut out, backend)?;
        }
        source_ports_line(&mut out, pool)?;
    }
    writeln!(out)?;
    for port in &status.ports {
        let link = if port.link_up { "up" } else { "DOWN" };
        writeln!(
            out,
            "port {} ({}, {}): link {link}, {} received, {} sent, {} missed",
            port.name, port.driver, port.mac, port.counters.received, port.counters.sent, port.counters.missed
        )?;
    }
    for tap in &status.exception {
        let dropped: u64 = tap.to_kernel_drops.values().chain(tap.from_kernel_drops.values()).sum();
        writeln!(
            out,
            "exception path of {} ({}): {} to the kernel, {} from it, {dropped} dropped",
            tap.port, tap.device, tap.to_kernel, tap.from_kernel
        )?;
        for (direction, drops) in [("to", &tap.to_kernel_drops), ("from", &tap.from_kernel_drops)] {
            for (reason, count) in drops {
                writeln!(out, "  dropped {direction} the kernel as {reason}: {count}")?;
            }
        }
    }
    for worker in &status.workers {
        let totals = &worker.packets;
        writeln!(
            out,
            "worker on core {} ({}): busy {:.1} %, burst fill {:.1}, {} received, {} sent, {} dropped, {} punted",
            worker.core,
            rest_of(worker),
            worker.busy_share * 100.0,
            worker.burst_fill,
            totals.received,
            totals.sent,
            totals.dropped,
            totals.punted
        )?;
    }
    pins_line(&mut out, &status.pins)?;
    if let Some(sessions) = &status.sessions {
        writeln!(
            out,
            "sessions: {} of {}, {} began, {} ended, {} evicted",
            sessions.live, sessions.capacity, sessions.created, sessions.expired, sessions.evicted
        )?;
    }
    probes_line(&mut out, &status.control)?;
    for (reason, count) in &status.drops {
        writeln!(out, "dropped as {reason}: {count}")?;
    }
    for line in &status.differences {
        writeln!(out, "changed at run time: {line}")?;
    }
    if !status.differences.is_empty() && status.state_file.is_none() {
        writeln!(
            out,
            "a restart forgets what was changed at run time: set `[state] file`, or write it to the configuration"
        )?;
    }
    for warning in &status.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(out)
}

/// What a worker does when nothing comes.
fn rest_of(worker: &WorkerStatus) -> String {
    let power = if worker.power == "off" { String::new() } else { format!(", power {}", worker.power) };
    let sleeps = if worker.sleeps > 0 { format!(", slept {} times", worker.sleeps) } else { String::new() };
    format!("idle {}{power}{sleeps}", worker.idle)
}

fn backend_header(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "  {:<20} {:<24} {:>6} {:<10} {:>8} {:>8} {:>12}  since, why",
        "backend", "address", "weight", "state", "slots", "pins", "packets"
    )
}

/// Seconds since 1970.
fn now_unix() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What happened to probes beside their results; nothing where nothing did.
fn probes_line(out: &mut String, control: &ControlStatus) -> std::fmt::Result {
    let ControlStatus { probes_void, probe_answers_lost, unreachable_errors, probes_out_of_turn, .. } = control;
    if probes_void + probe_answers_lost + unreachable_errors == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "probes: {probes_void} not judged, {probe_answers_lost} answers lost on their way to the checks; {probes_out_of_turn} sent \
         out of turn after {unreachable_errors} errors of routers"
    )
}

fn backend_line(out: &mut String, backend: &BackendStatus) -> std::fmt::Result {
    let since = duration((now_unix() - backend.since_unix).max(0.0));
    let unjudged = if backend.check.is_none() { "not checked" } else { "not judged yet" };
    let reason = backend.reason.as_deref().unwrap_or(unjudged);
    writeln!(
        out,
        "  {:<20} {:<24} {:>6} {:<10} {:>8} {:>8} {:>12}  {since}, {reason}",
        backend.name,
        backend.address,
        backend.weight,
        backend.state,
        backend.slots,
        backend.pins,
        backend.traffic.packets
    )
}

/// Slots that change; nothing at rest.
fn transition_line(out: &mut String, transition: &TransitionStatus) -> std::fmt::Result {
    let TransitionStatus { armed, transition: moving, folded, look, differing, .. } = transition;
    let waits = transition.waiting.as_ref().map(|waiting| format!("; waits: {waiting}")).unwrap_or_default();
    if armed + moving + folded + look == 0 {
        return if waits.is_empty() { Ok(()) } else { writeln!(out, "  a change{waits}") };
    }
    let until = transition.until_seconds.map(|left| format!(", for {}", duration(left))).unwrap_or_default();
    writeln!(
        out,
        "  slots: {armed} armed, {moving} in transition, {folded} folded, {look} looked at; {differing} with flows that \
         stay elsewhere{until}{waits}"
    )
}

/// How far source ports are used up, of the backend that has the fewest left.
fn source_ports_line(out: &mut String, pool: &PoolStatus) -> std::fmt::Result {
    let percent = |ports: &SourcePortsStatus| (ports.in_use + ports.resting) * 100 / ports.total.max(1);
    let backends = pool.backends.iter().filter_map(|backend| Some((backend.source_ports?, &backend.name)));
    let Some((ports, name)) = backends.max_by_key(|(ports, _)| percent(ports)) else { return Ok(()) };
    let SourcePortsStatus { in_use, resting, total } = ports;
    writeln!(out, "source ports: {name} has the fewest left, {in_use} in use and {resting} resting of {total}")
}

fn pins_line(out: &mut String, pins: &PinsStatus) -> std::fmt::Result {
    writeln!(
        out,
        "pins: {} of {} in use ({:.1} %), {} inserted, {} removed, {} without room, {} evicted",
        pins.in_use,
        pins.capacity,
        pins.occupancy * 100.0,
        pins.inserted,
        pins.removed,
        pins.failed,
        pins.evicted_embryonic + pins.evicted_single + pins.evicted_confirmed
    )
}

/// A time as an operator reads it.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// Bytes as an operator reads them.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(transition: &TransitionStatus) -> String {
        let mut out = String::new();
        transition_line(&mut out, transition).expect("a string takes it");
        out
    }

    #[test]
    fn what_a_change_waits_for_is_shown_and_nothing_at_rest() {
        assert_eq!(shown(&TransitionStatus::default()), "");
        let waiting = |word: &str| Some(word.to_owned());
        let crowded = TransitionStatus { waiting: waiting("pins"), ..TransitionStatus::default() };
        assert!(shown(&crowded).contains("waits: pins"));
        let armed = TransitionStatus { armed: 5, waiting: waiting("arming"), until_seconds: Some(2.5), ..crowded };
        let line = shown(&armed);
        assert!(line.contains("5 armed") && line.contains("for 2.5 s; waits: arming"), "{line}");
        let moving = TransitionStatus { armed: 0, transition: 4, differing: 3, waiting: None, ..armed };
        let line = shown(&moving);
        assert!(line.contains("4 in transition") && line.contains("3 with flows") && !line.contains("waits"), "{line}");
    }
}
