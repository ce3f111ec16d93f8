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
use crate::window::Window;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::port::{Burst, Packet, Port, RxQueue, TxQueue};
use guideway_dataplane::table::BuildError;
use guideway_dataplane::wire::ethernet::EthernetHeader;
use std::time::Duration;
use zerocopy::FromBytes;

/// The fewest pairs of windows of a case.
const FEWEST_PAIRS: usize = 7;
/// The longest window: a disturbance spoils one, not the median.
const LONGEST_WINDOW: f64 = 0.2;

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
    let baseline = pass(device.source(case.traffic())?, options.lead, |_| ());
    let source = device.source(case.traffic())?;
    let pairs = if case.treatment == Treatment::MacSwap {
        alternate(clock, options.time, baseline, pass(source, options.lead, swap_addresses))
    } else {
        let (mut worker, counters) = case.worker(source, options.lead)?;
        let pairs = alternate(clock, options.time, baseline, || worker.poll(clock.now(), &mut ()));
        as_expected(case, &counters)?;
        pairs
    };
    Ok(CaseReport::new(case, clock.hz(), &pairs))
}

/// One turn of the loop without a worker.
fn pass<P: Port>(source: Source<P>, lead: usize, touch: impl Fn(&mut P::Packet)) -> impl FnMut() -> usize {
    let Source { queues, traffic } = source;
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
    time: Duration,
    mut baseline: impl FnMut() -> usize,
    mut case: impl FnMut() -> usize,
) -> Vec<(Window, Window)> {
    let seconds = time.as_secs_f64();
    let pairs = FEWEST_PAIRS.max((seconds / (2.0 * LONGEST_WINDOW)) as usize);
    let ticks = (seconds / (2 * (pairs + 1)) as f64 * clock.hz() as f64) as u64;
    let mut pair = |_| (Window::run(clock, ticks, &mut baseline), Window::run(clock, ticks, &mut case));
    (0..=pairs).map(&mut pair).skip(1).collect()
}

/// Whether all packets were forwarded, or dropped for the reason that the case is about.
fn as_expected(case: &Case, counters: &WorkerCounters) -> Result<(), Error> {
    let count = |reason: DropReason| counters.drops[reason as usize].get();
    let (received, dropped) = (counters.received.packets.get(), counters.dropped());
    let wanted = case.drops().map_or(counters.sent.packets.get(), count);
    let most = DropReason::ALL
        .iter()
        .copied()
        .filter(|reason| Some(*reason) != case.drops())
        .max_by_key(|reason| count(*reason));
    match most {
        Some(reason) if wanted != received => {
            Err(Error::Dropped { name: case.to_string(), dropped, received, reason: reason.label() })
        }
        _ => Ok(()),
    }
}
