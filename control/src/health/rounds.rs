//! The prober's clockwork: targets, expiry, sending.

use super::check::Check;
use super::dampen::{Dampened, Level};
use super::expiry::{Flight, Flights};
use super::probe_packet::Kind;
use super::prober::Prober;
use super::report::{Probe, Reason};
use super::targets::{self, FIRST_PROBE_PORT, Target, TargetError};
use super::tick::{self, Tick};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// Grace before a probe expires: a worker stamps packets at the top of a burst and hands them over at its end, so at
/// the time of a poll an answer from before that time may not be in the ring yet.
pub const GRACE: Duration = Duration::from_micros(250);

/// The jitter of a probe is less than the interval shifted by this: a sixteenth.
const JITTER_SHIFT: u32 = 4;

impl Prober {
    /// Replaces the list of targets.
    ///
    /// A backend that was probed with the same addresses and port keeps its state, also if its check changed; one
    /// whose addresses changed starts afresh; one that is missing is forgotten without an event. The first probe of a
    /// single new target is due at once, those of many are spread evenly over their interval.
    ///
    /// # Errors
    /// A target that cannot be probed; nothing has changed then.
    pub fn set_targets(&mut self, targets: &[Target], now: Nanos) -> Result<(), TargetError> {
        let grouped = targets::group(targets)?;
        for backend in self.table.present() {
            if !grouped.listed.get(usize::from(backend)).copied().unwrap_or(false) {
                self.table.remove(backend);
            }
        }
        self.table.grow(grouped.listed.len());
        let mut restarted = Vec::new();
        for (target, &group) in targets.iter().zip(&grouped.of_target) {
            let backend = target.backend.0;
            let wanted = &grouped.groups[usize::from(group)];
            let known = self.table.hot(backend).map(|hot| (&self.groups[usize::from(hot.group)], hot));
            match known {
                Some((old, hot)) if old.addresses == wanted.addresses => {
                    hot.group = group;
                    if old.check != wanted.check {
                        restarted.push(backend);
                    }
                }
                _ => {
                    self.table.start(backend, group, first_round(now), now);
                    restarted.push(backend);
                }
            }
            self.table.cold(backend).number = target.number;
        }
        self.groups = grouped.groups;
        self.replace_queues(&grouped.timeouts);
        self.spread(&restarted, now);
        Ok(())
    }

    /// Makes the queues those for `timeouts`, in this order; what is on its way stays in its queue.
    fn replace_queues(&mut self, timeouts: &[u32]) {
        let mut old = std::mem::take(&mut self.flights);
        for &timeout in timeouts {
            let known = old.iter().position(|queue| queue.timeout == timeout);
            self.flights.push(known.map_or_else(|| Flights::new(timeout), |at| old.swap_remove(at)));
        }
        self.flights.extend(old.into_iter().filter(|queue| !queue.is_empty()));
    }

    /// Makes the next probe of a backend due at once, since something speaks against it that is no result: not before
    /// `fast_interval` after the last one, and not at all unless the backend counts as up and nothing failed.
    pub fn probe_at_once(&mut self, backend: BackendId, now: Nanos) {
        let Some(hot) = self.table.peek(backend.0) else { return };
        let check = self.groups[usize::from(hot.group)].check;
        if hot.is_doubted() || hot.dampened() != (Dampened { level: Level::Up, run: 0 }) {
            return;
        }
        let soonest = hot.sent.plus(check.fast_interval);
        // No earlier than now: a due time in the past would count as a round that this thread was late for.
        let now = Tick::at(self.last_poll.map_or(now, |last| last.max(now)));
        if let Some(hot) = self.table.hot(backend.0) {
            hot.set_doubted(true);
        }
        self.schedule(backend.0, if soonest.since(now) > 0 { soonest } else { now });
    }

    /// Expires what is overdue at `now` and sends what is due. To be called about once a millisecond, after all that
    /// was received is judged; `now` is read before the rings are drained.
    ///
    /// Void, that is forgotten without a judgement and counted, are
    /// - all probes on their way whose timeout is less than twice the time since the poll before: this thread was
    ///   late, and their answers may have been lost in full rings;
    /// - all probes sent until `stalled_until`, the time up to which some worker is known not to have polled its
    ///   queues. It may be told again with each poll.
    ///
    /// Rounds that came due while this thread was late are skipped rather than sent in a burst.
    pub fn poll(&mut self, now: Nanos, stalled_until: Option<Nanos>, emit: &mut impl FnMut(Probe<'_>)) {
        let pause = self.last_poll.map_or(Duration::ZERO, |last| now.since(last));
        self.last_poll = Some(now);
        self.stalled_until = self.stalled_until.max(stalled_until).filter(|until| now.since(*until) < tick::LONGEST);
        self.expire(now, pause);
        if pause >= tick::LONGEST {
            // Due times this old cannot be told from ones that lie ahead.
            self.wheel.clear();
            self.spread(&self.table.present(), now);
        }
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(Tick::at(now), &mut due);
        for entry in due.drain(..) {
            if self.table.peek(entry.backend).is_some_and(|hot| hot.stamp == entry.stamp) {
                self.run_round(entry.backend, entry.due, Tick::at(now), emit);
            }
        }
        self.due = due;
    }

    /// Judges or voids the probes whose time is up.
    fn expire(&mut self, now: Nanos, pause: Duration) {
        let tick = Tick::at(now);
        let stalled = self.stalled_until.map(|until| Tick::at(until.min(now)));
        let grace = tick::ticks(GRACE);
        for queue in 0..self.flights.len() {
            let timeout = self.flights[queue].timeout;
            let late = pause > tick::duration(timeout) / 2;
            let is_void = |sent: Tick| late || stalled.is_some_and(|until| sent.since(until) <= 0);
            let is_over = |sent: Tick| is_void(sent) || tick.since(sent) > (timeout + grace).cast_signed();
            while let Some(flight) = self.flights[queue].pop_if(is_over) {
                self.land(flight, is_void(flight.sent), now);
            }
        }
    }

    /// Ends a probe that has no result yet.
    fn land(&mut self, flight: Flight, void: bool, now: Nanos) {
        let Some(hot) = self.table.hot(flight.backend) else { return };
        let Some(bit) = hot.outstanding_bit(flight.round) else { return };
        hot.outstanding &= !bit;
        let took = Tick::at(now).since(flight.sent).max(0).cast_unsigned();
        self.table.results(flight.backend).push(now, (!void).then_some(Reason::Timeout), took);
        if void {
            self.count_void(flight.backend);
        } else {
            self.settle(flight.backend, Reason::Timeout, now);
        }
    }

    fn count_void(&mut self, backend: u16) {
        self.counters.void += 1;
        let cold = self.table.cold(backend);
        cold.void = cold.void.wrapping_add(1);
    }

    /// Sends the round that was due at `due`, or skips it, and schedules the next.
    fn run_round(&mut self, backend: u16, due: Tick, now: Tick, emit: &mut impl FnMut(Probe<'_>)) {
        let Some(hot) = self.table.peek(backend) else { return };
        let check = self.groups[usize::from(hot.group)].check;
        let late = now.since(due).max(0).cast_unsigned();
        if late > check.tolerance() {
            let missed = late / check.interval + 1;
            if let Some(hot) = self.table.hot(backend) {
                hot.set_doubted(false);
            }
            self.counters.skipped += u64::from(missed);
            self.schedule(backend, due.plus(missed * check.interval));
            return;
        }
        self.send(backend, now, emit);
        let unsettled = hot.dampened().is_unsettled(check.thresholds);
        self.schedule(backend, next_due(&check, unsettled, backend, hot.round.wrapping_add(1), due, now));
    }

    fn send(&mut self, backend: u16, now: Tick, emit: &mut impl FnMut(Probe<'_>)) {
        let Some(hot) = self.table.peek(backend) else { return };
        if hot.is_half_open() {
            // Its SYN would meet the connection of the round before, and be answered with that round's numbers.
            let cookie = self.cookies.cookie(backend, hot.round);
            self.reset(backend, &hot, cookie, emit);
        }
        if hot.outstanding != 0 {
            self.table.keep_sent(backend, hot.round, hot.sent);
        }
        if hot.outstanding.leading_zeros() == 0 {
            self.count_void(backend);
        }
        let round = hot.round.wrapping_add(1);
        self.counters.out_of_turn += u64::from(hot.is_doubted());
        if let Some(hot) = self.table.hot(backend) {
            hot.set_doubted(false);
            hot.round = round;
            hot.sent = now;
            hot.outstanding = hot.outstanding << 1 | 1;
            hot.set_half_open(true);
        }
        let group = &self.groups[usize::from(hot.group)];
        self.flights[usize::from(group.flights)].push(Flight { sent: now, round, backend });
        let built = group.template.build(Kind::Syn, FIRST_PROBE_PORT + backend, self.cookies.cookie(backend, round));
        self.counters.sent += 1;
        emit(Probe { backend: BackendId(backend), packet: built.bytes() });
    }

    /// Schedules the next probe of each of these backends, evenly over its interval from `now` on.
    fn spread(&mut self, backends: &[u16], now: Nanos) {
        let count = backends.len().max(1) as u64;
        for (place, &backend) in (0u64..).zip(backends) {
            let Some(hot) = self.table.peek(backend) else { continue };
            let interval = self.groups[usize::from(hot.group)].check.interval;
            let phase = u64::from(interval) * place / count;
            self.schedule(backend, Tick::at(now).plus(phase as u32));
        }
    }
}

/// When the round after `round`, which was due at `due` and sent at `now`, is due.
///
/// At the steady interval the jitter moves each probe within a grid that itself does not move, so that backends that
/// were spread stay spread; jitter that added up would bunch some of them in time.
fn next_due(check: &Check, unsettled: bool, backend: u16, round: u32, due: Tick, now: Tick) -> Tick {
    if unsettled {
        let next = due.plus(check.fast_interval);
        return if next.since(now) > 0 { next } else { now.plus(check.fast_interval) };
    }
    let range = check.interval >> JITTER_SHIFT;
    let here = jitter(backend, round, range);
    let there = jitter(backend, round.wrapping_add(1), range);
    due.plus(check.interval.wrapping_add(there).wrapping_sub(here))
}

/// A number below `range` that looks random from round to round.
fn jitter(backend: u16, round: u32, range: u32) -> u32 {
    let mixed = (u64::from(backend) << 32 | u64::from(round)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32;
    ((mixed * u64::from(range)) >> 32) as u32
}

/// The number before that of the first round of a backend that starts now. It grows faster than rounds pass, so an
/// id that is used again does not repeat the cookies that it had.
const fn first_round(now: Nanos) -> u32 {
    (now.0 >> 14) as u32
}
