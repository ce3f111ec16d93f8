//! What a packet costs: the worker loop between source and sink, and the same loop without the worker, in turns.
//!
//! Turns, since on a machine that is not alone everything drifts: frequency, caches, neighbours. A case and its baseline
//! run in the same process on buffers of the same kind, each window of one right after a window of the other, and what
//! counts is the median.

use crate::clock::Clock;
use crate::device::{Device, DeviceError, Source};
use crate::generator::Generator;
use crate::machine::{CoreTime, Processor};
use crate::report::{CaseReport, Report};
use crate::scenario::{Case, Treatment};
use crate::window::{Feed, Window};
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::port::{Burst, Packet, Port, RxQueue, TxQueue};
use guideway_dataplane::table::BuildError;
use guideway_dataplane::wire::ethernet::EthernetHeader;
use std::time::{Duration, Instant};
use zerocopy::FromBytes;

/// The fewest pairs of windows of a case.
const FEWEST_PAIRS: usize = 7;
/// The longest window: a disturbance spoils one, not the median.
const LONGEST_WINDOW: f64 = 0.2;

/// The longest time in which flows get their pins before anything counts, where packets come from elsewhere.
const LONGEST_WARM_UP: Duration = Duration::from_secs(10);

/// How to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Time for each case, its baseline included.
    pub time: Duration,
    /// Packets that wait between source and worker ([`Generator::new`]).
    pub lead: usize,
    /// The core that the calling thread is pinned to.
    pub core: usize,
    /// How often a case that other work disturbed is measured again; the least disturbed counts.
    pub repeats: u32,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device did not open.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The table was not built.
    #[error(transparent)]
    Table(#[from] BuildError),
    /// There was nothing to measure.
    #[error("{name}: nothing to measure came from {device}; {remedy}")]
    NothingCame {
        /// The case.
        name: String,
        /// Where packets were to come from.
        device: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Packets came, and all were for somebody else.
    #[error("{name}: of {received} packets from {device} none was forwarded, {reason} is why; send them to {service}")]
    NotOurs {
        /// The case.
        name: String,
        /// Where packets came from.
        device: String,
        /// Packets received.
        received: u64,
        /// The most frequent reason.
        reason: &'static str,
        /// Where the case's packets are to be sent to: frames to the port's own address, packets to this service.
        service: String,
    },
    /// Packets that were to be forwarded were not, or the other way round: the figures would be of something else.
    #[error("{name}: {dropped} of {received} packets were dropped, many of them as {reason}; this is a bug")]
    Dropped {
        /// The case.
        name: String,
        /// Packets dropped.
        dropped: u64,
        /// Packets received.
        received: u64,
        /// The most frequent reason.
        reason: &'static str,
    },
}

/// Measures all cases on the calling thread. `done` is told about each case when it is measured.
///
/// # Errors
///
/// [`Error`].
pub fn run<D: Device, C: Clock>(
    device: &mut D,
    clock: &C,
    options: &Options,
    cases: &[Case],
    mut done: impl FnMut(&CaseReport),
) -> Result<Report, Error> {
    let before = CoreTime::of(options.core);
    let mut reports = Vec::with_capacity(cases.len());
    for case in cases {
        let report = undisturbed(device, clock, options, case)?;
        done(&report);
        reports.push(report);
    }
    let after = CoreTime::of(options.core);
    let Processor { model, virtual_machine } = Processor::this();
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: device.describe(),
        processor: model,
        virtual_machine,
        core: options.core,
        unit: C::UNIT,
        hz: clock.hz(),
        lead: options.lead,
        feed: device.feed(),
        steal_percent: before.zip(after).map(|(before, after)| after.steal_percent_since(before)),
        cases: reports,
    })
}

/// The least disturbed measurement of a case.
fn undisturbed<D: Device>(
    device: &mut D,
    clock: &impl Clock,
    options: &Options,
    case: &Case,
) -> Result<CaseReport, Error> {
    let mut best = measure(device, clock, options, case)?;
    for _ in 0..options.repeats {
        if !best.is_disturbed() {
            break;
        }
        let again = measure(device, clock, options, case)?;
        if again.lost_percent < best.lost_percent || !again.is_disturbed() {
            best = again;
        }
    }
    Ok(best)
}

fn measure<D: Device>(device: &mut D, clock: &impl Clock, options: &Options, case: &Case) -> Result<CaseReport, Error> {
    let feed = device.feed();
    let baseline = pass(device.source(case.traffic())?, options.lead, |_| ());
    let source = device.source(case.traffic())?;
    if case.treatment == Treatment::MacSwap {
        let pairs = alternate(clock, feed, options.time, baseline, pass(source, options.lead, swap_addresses));
        return CaseReport::new(case, clock.hz(), &pairs, 100.0).ok_or_else(|| nothing_came(device, case));
    }
    let (mut worker, counters) = case.worker(source, options.lead)?;
    let mut poll = || worker.poll(clock.now(), &mut ());
    let begun = Instant::now();
    let mut unpinned = case.pinned_flows();
    while unpinned > 0 && begun.elapsed() < LONGEST_WARM_UP {
        unpinned = unpinned.saturating_sub(poll() as u64);
    }
    let pairs = alternate(clock, feed, options.time, baseline, poll);
    let expected = as_expected(device, case, &counters)?;
    CaseReport::new(case, clock.hz(), &pairs, expected).ok_or_else(|| nothing_came(device, case))
}

fn nothing_came(device: &impl Device, case: &Case) -> Error {
    let remedy = match device.feed() {
        Feed::Own => "this is a bug",
        Feed::Generator => "the generator's core is busy: give it another one, or more --seconds",
        Feed::Network => "send packets to the port while the benchmark runs, or give more --seconds",
    };
    Error::NothingCame { name: case.to_string(), device: device.describe(), remedy }
}

/// One turn of the loop without a worker.
fn pass<P: Port>(source: Source<P>, lead: usize, touch: impl Fn(&mut P::Packet)) -> impl FnMut() -> usize {
    let Source { queues, traffic, .. } = source;
    let mut rx = Generator::new(queues.rx, traffic, lead);
    let mut tx = queues.tx;
    move || {
        let mut burst = Burst::new();
        let received = rx.receive(&mut burst);
        burst.iter_mut().for_each(&touch);
        tx.transmit(&mut burst);
        received
    }
}

#[inline]
fn swap_addresses<P: Packet>(packet: &mut P) {
    if let Ok((header, _)) = EthernetHeader::mut_from_prefix(packet.frame_mut()) {
        std::mem::swap(&mut header.source, &mut header.destination);
    }
}

/// Windows of baseline and case in turns, for about `time`; the first pair warms up and does not count.
fn alternate(
    clock: &impl Clock,
    feed: Feed,
    time: Duration,
    mut baseline: impl FnMut() -> usize,
    mut case: impl FnMut() -> usize,
) -> Vec<(Window, Window)> {
    let seconds = time.as_secs_f64();
    let pairs = FEWEST_PAIRS.max((seconds / (2.0 * LONGEST_WINDOW)) as usize);
    let ticks = (seconds / (2 * (pairs + 1)) as f64 * clock.hz() as f64) as u64;
    let mut pair = |_| (Window::run(clock, feed, ticks, &mut baseline), Window::run(clock, feed, ticks, &mut case));
    (0..=pairs).map(&mut pair).skip(1).collect()
}

/// Percent of packets that were forwarded, or dropped for the reason that the case is about: all, unless they are what
/// happened to arrive at a port.
fn as_expected(device: &impl Device, case: &Case, counters: &WorkerCounters) -> Result<f64, Error> {
    let count = |reason: DropReason| counters.drops[reason as usize].get();
    let (received, dropped) = (counters.received.packets.get(), counters.dropped());
    let wanted = case.drops().map_or(counters.sent.packets.get(), count);
    let most = DropReason::ALL
        .iter()
        .copied()
        .filter(|reason| Some(*reason) != case.drops())
        .max_by_key(|reason| count(*reason));
    let (name, reason) = (case.to_string(), most.map_or("nothing", DropReason::label));
    match device.feed() {
        Feed::Own | Feed::Generator if wanted != received => Err(Error::Dropped { name, dropped, received, reason }),
        Feed::Network if wanted == 0 && received > 0 => {
            let (device, service) = (device.describe(), case.target());
            Err(Error::NotOurs { name, device, received, reason, service })
        }
        _ => Ok(wanted as f64 * 100.0 / received.max(1) as f64),
    }
}
