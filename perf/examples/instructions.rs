//! The loop of one case, for an instruction counter: `scripts/instructions` runs it under callgrind.
//!
//! ```text
//! cargo run --release -p guideway-perf --example instructions -- CASE POLLS [FLOWS [BACKENDS]]
//! ```
//!
//! CASE is `baseline`, `l2dsr`, `ipip`, `gue`, `udp`, `syn` or `novip`, with 4 or 6 behind it for the IP version, and then with `T`
//! for slots in transition or with `A` for flows that are all tracked, and at the end with `L` for a connection log at its usual
//! rate or with `C` for a capture of a client that none of the packets is of; or `session`: connections of `fullnat` from
//! their SYN to their end, without POLLS. Prints how many packets went through [`polls`],
//! the function that is counted.

use guideway_dataplane::observe::{CaptureTap, ConnectionTap, Filter, Observe};
use guideway_dataplane::parse::Family;
use guideway_dataplane::port::{Burst, RxQueue as _, TxQueue as _};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::vip::Prefix;
use guideway_perf::connections;
use guideway_perf::device::{Device as _, Queues};
use guideway_perf::generator::Generator;
use guideway_perf::memory::MemoryDevice;
use guideway_perf::scenario::{Case, Load, Slots, Treatment};
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Packets between source and worker.
const LEAD: usize = 256;
/// Polls before the count begins: buffers exist then, and lazily bound functions are bound.
const WARM_UP: u64 = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("which case?")?;
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse());
    let (count, flows, backends) = (u64::from(number(1_000)?), number(1_000)?, u16::try_from(number(100)?)?);
    let (name, observe) = match name.strip_suffix(['L', 'C']) {
        Some(case) => (case.to_owned(), Some(observe(name.ends_with('L')))),
        None => (name, None),
    };
    let (name, slots) = match name.strip_suffix('T') {
        Some(name) => (name, Slots::Transition),
        None => name.strip_suffix('A').map_or((&*name, Slots::Steady), |name| (name, Slots::Always)),
    };
    let family = if name.ends_with('6') { Family::V6 } else { Family::V4 };
    let case = Case { family, slots, flows, backends, ..Case::default() };
    let packets = match name.trim_end_matches(['4', '6']) {
        "baseline" => baseline(&case, count)?,
        "l2dsr" => forward(&case, count, observe)?,
        "ipip" => forward(&Case { treatment: Treatment::Ipip, ..case }, count, observe)?,
        "gue" => forward(&Case { treatment: Treatment::Gue, ..case }, count, observe)?,
        "udp" => forward(&Case { load: Load::Udp, ..case }, count, observe)?,
        "syn" => forward(&Case { load: Load::SynFlood, ..case }, count, observe)?,
        "session" => sessions()?,
        "novip" => forward(&Case { load: Load::NoVip, ..case }, count, observe)?,
        _ => return Err(format!("no case {name}").into()),
    };
    println!("{packets}");
    Ok(())
}

/// Somebody who looks for beginnings of connections, or for packets that there are none of.
fn observe(log: bool) -> Arc<Observe> {
    let connections = log.then(|| Arc::new(ConnectionTap::new(1, 1_000, 10_000, 1)));
    let capture = (!log).then(|| {
        let client = Some(Prefix::new(Ipv4Addr::LOCALHOST.into(), 32));
        Arc::new(CaptureTap::new(Filter { client, ..Filter::default() }, 1, 256, 2_048))
    });
    Arc::new(Observe { capture, connections })
}

fn baseline(case: &Case, count: u64) -> Result<usize, Box<dyn Error>> {
    let Queues { rx, mut tx, .. } = MemoryDevice.open()?;
    let mut rx = Generator::new(rx, Some(case.traffic()), LEAD);
    Ok(warm_then_count(count, |_| {
        let mut burst = Burst::new();
        let received = rx.receive(&mut burst);
        tx.transmit(&mut burst);
        received
    }))
}

fn forward(case: &Case, count: u64, observe: Option<Arc<Observe>>) -> Result<usize, Box<dyn Error>> {
    let (mut worker, counters) = case.observed_worker(MemoryDevice.source(case.traffic())?, LEAD, observe)?;
    let packets = warm_then_count(count, |now| worker.poll(now, &mut ()));
    let dropped = case.drops().map_or(0, |_| counters.received.packets.get());
    assert_eq!(counters.dropped(), dropped, "every packet is forwarded, or none");
    Ok(packets)
}

/// Connections that begin and end, as many of each.
fn sessions() -> Result<usize, Box<dyn Error>> {
    let options =
        connections::Options { rate: 1_000, wave: 512, warm_up: 0, waves: 60, sessions: 40_000, ..Default::default() };
    let packets = connections::walk(&options, |poll| {
        polls(1, &mut |_| poll());
    })?;
    Ok(usize::try_from(packets)?)
}

fn warm_then_count(count: u64, mut step: impl FnMut(Nanos) -> usize) -> usize {
    for number in 0..WARM_UP {
        step(Nanos(number));
    }
    polls(count, &mut step)
}

/// What is counted. Not inlined: the counter knows it by name.
#[inline(never)]
fn polls(count: u64, step: &mut dyn FnMut(Nanos) -> usize) -> usize {
    (0..count).map(|number| step(Nanos(WARM_UP + number))).sum()
}
