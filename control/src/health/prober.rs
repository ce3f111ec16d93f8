//! The TCP prober: its parts, and what becomes of a received packet.

use super::answer::{self, Answer, Kind};
use super::cookie::Cookies;
use super::dampen::{Level, Outcome};
use super::expiry::Flights;
use super::probe_packet;
use super::report::{Counters, HealthEvent, Ignored, Probe, Reason, Received, State, Status};
use super::schedule::{Entry, Wheel};
use super::table::{Hot, NO_RTT, Table};
use super::targets::{FIRST_PROBE_PORT, Group};
use super::tick::{self, Tick};
use super::verdicts::CheckNumber;
use crate::checks::HistoryResult;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use std::collections::VecDeque;

/// Probes backends by the first half of a TCP handshake (DESIGN section 7).
///
/// Time never goes back: `now` of [`Self::poll`] and [`Self::set_targets`] does not fall. Nothing is allocated for
/// a probe once the queues have their size.
pub struct Prober {
    pub(super) cookies: Cookies,
    pub(super) groups: Vec<Group>,
    pub(super) table: Table,
    pub(super) wheel: Wheel,
    /// One queue for each timeout in use.
    pub(super) flights: Vec<Flights>,
    pub(super) last_poll: Option<Nanos>,
    /// Until when some worker was stalled, the latest that was told.
    pub(super) stalled_until: Option<Nanos>,
    pub(super) counters: Counters,
    /// Kept for its memory.
    pub(super) due: Vec<Entry>,
    events: VecDeque<HealthEvent>,
}

impl Prober {
    /// A prober without targets. `key` is a secret of this process, drawn at its start, and not the fleet's key.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self {
            cookies: Cookies::new(key),
            groups: Vec::new(),
            table: Table::default(),
            wheel: Wheel::new(),
            flights: Vec::new(),
            last_poll: None,
            stalled_until: None,
            counters: Counters::default(),
            due: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Judges a packet from VIP to probe source, or an ICMP error.
    ///
    /// `packet` starts at its IP header and may be any bytes. `rx_time` is when the worker received it, which is what
    /// counts against the timeout. A SYN-ACK or ACK is followed by an RST through `emit`, so that the backend frees its
    /// half-open connection: also one of an earlier round, or of an earlier process that was killed, whose numbers are
    /// no cookie of ours. RFC 9293, section 3.10.7.3 resets an unacceptable acknowledgement in the same way. Without it
    /// such a connection keeps a backend from answering for the minute in which its kernel repeats the SYN-ACK.
    pub fn receive(&mut self, rx_time: Nanos, packet: &[u8], emit: &mut impl FnMut(Probe<'_>)) -> Received {
        self.judge(rx_time, packet, emit).unwrap_or_else(|why| {
            self.counters.count_ignored(why);
            Received::Ignored(why)
        })
    }

    /// The next change of a backend, in the order in which they were judged.
    pub fn next_event(&mut self) -> Option<HealthEvent> {
        self.events.pop_front()
    }

    /// What is known about a backend; `None` if it is not a target.
    #[must_use]
    pub fn status(&self, backend: BackendId) -> Option<Status> {
        let hot = self.table.peek(backend.0)?;
        let (cold, rtt) = self.table.peek_cold(backend.0);
        let check = &self.groups[usize::from(hot.group)].check;
        let dampened = hot.dampened();
        let state = match dampened.level {
            Level::Unknown => State::Unknown,
            Level::Up => State::Up,
            Level::Down if dampened.is_held(check.thresholds) => State::HeldDown,
            Level::Down => State::Down,
        };
        let sent = hot.round.wrapping_sub(cold.first_round);
        let outstanding = hot.outstanding.count_ones();
        Some(Status {
            state,
            since: cold.since,
            reason: cold.reason,
            rtt: (rtt != NO_RTT).then(|| tick::duration(rtt)),
            slow: rtt != NO_RTT && rtt > check.timeout / 2,
            sent,
            answered: sent.wrapping_sub(cold.failed).wrapping_sub(cold.void).wrapping_sub(outstanding),
            failed: cold.failed,
            void: cold.void,
            outstanding,
        })
    }

    /// The last results of a backend, the latest one first, and which check of its pool they are of; `None` if it is not a
    /// target.
    #[must_use]
    pub fn history(&self, backend: BackendId, now: Nanos) -> Option<(CheckNumber, Vec<HistoryResult>)> {
        self.table.peek(backend.0)?;
        Some((self.table.peek_cold(backend.0).0.number, self.table.peek_results(backend.0).list(now)))
    }

    /// Totals since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    fn judge(&mut self, rx_time: Nanos, packet: &[u8], emit: &mut impl FnMut(Probe<'_>)) -> Result<Received, Ignored> {
        let answer = answer::parse(packet)?;
        let (backend, hot) = self.addressee(&answer)?;
        if matches!(answer.kind, Kind::SynAck | Kind::Ack) {
            self.reset(backend, &hot, answer.cookie, emit);
        }
        let round = self.cookies.round(backend, answer.cookie, hot.round).ok_or(Ignored::WrongCookie)?;
        if round == hot.round
            && answer.kind != Kind::Unreachable
            && let Some(hot) = self.table.hot(backend)
        {
            hot.set_half_open(false);
        }
        let bit = hot.outstanding_bit(round).filter(|_| answer.kind != Kind::Ack).ok_or(Ignored::Stale)?;
        let age = Tick::at(rx_time).since(self.table.sent(backend, &hot, round)).max(0).cast_unsigned();
        if age > self.groups[usize::from(hot.group)].check.timeout {
            return Err(Ignored::Late);
        }
        if let Some(hot) = self.table.hot(backend) {
            hot.outstanding &= !bit;
        }
        let id = BackendId(backend);
        let (reason, received) = match answer.kind {
            Kind::SynAck | Kind::Ack => {
                self.table.set_rtt(backend, age);
                (Reason::Answered, Received::Answered { backend: id, rtt: tick::duration(age) })
            }
            Kind::Reset => (Reason::Refused, Received::Failed { backend: id, reason: Reason::Refused }),
            Kind::Unreachable => (Reason::Unreachable, Received::Failed { backend: id, reason: Reason::Unreachable }),
        };
        self.table.results(backend).push(rx_time, Some(reason), age);
        self.settle(backend, reason, rx_time);
        Ok(received)
    }

    /// The backend that the answer's ports and addresses name, with a copy of its hot state.
    fn addressee(&self, answer: &Answer) -> Result<(u16, Hot), Ignored> {
        let backend = answer.local_port.checked_sub(FIRST_PROBE_PORT).ok_or(Ignored::NotOurs)?;
        let hot = self.table.peek(backend).ok_or(Ignored::NotOurs)?;
        let addresses = &self.groups[usize::from(hot.group)].addresses;
        let ours = addresses.port == answer.remote_port
            && addresses.destination == answer.remote
            && addresses.source == answer.local;
        if ours { Ok((backend, hot)) } else { Err(Ignored::NotOurs) }
    }

    /// Ends the half-open connection of the round with this cookie.
    pub(super) fn reset(&mut self, backend: u16, hot: &Hot, cookie: u32, emit: &mut impl FnMut(Probe<'_>)) {
        let template = &self.groups[usize::from(hot.group)].template;
        let built = template.build(probe_packet::Kind::Rst, FIRST_PROBE_PORT + backend, cookie.wrapping_add(1));
        self.counters.resets += 1;
        emit(Probe { backend: BackendId(backend), packet: built.bytes() });
    }

    /// Takes one result into a backend's state: dampening, hold-down, event, and the next probe if it comes earlier.
    pub(super) fn settle(&mut self, backend: u16, reason: Reason, at: Nanos) {
        self.counters.count_failed(reason);
        let outcome = if reason == Reason::Answered { Outcome::Pass } else { Outcome::Fail };
        let Some(hot) = self.table.peek(backend) else { return };
        let check = self.groups[usize::from(hot.group)].check;
        let before = hot.dampened();
        if outcome == Outcome::Pass && before.level == Level::Up && before.run == 0 {
            return;
        }
        let cold = self.table.cold(backend);
        cold.failed = cold.failed.wrapping_add(u32::from(outcome == Outcome::Fail));
        let (after, hold, transition) = before.judge(cold.hold, check.thresholds, outcome, at);
        cold.hold = hold;
        if let Some(transition) = transition {
            cold.since = at;
            cold.reason = Some(reason);
            let check = Some(cold.number);
            self.events.push_back(HealthEvent { backend: BackendId(backend), check, at, transition, reason });
        }
        if let Some(hot) = self.table.hot(backend) {
            hot.set_dampened(after);
        }
        if after.is_unsettled(check.thresholds) && !before.is_unsettled(check.thresholds) {
            // No earlier than now: a due time in the past would count as a round that this thread was late for.
            let now = Tick::at(self.last_poll.map_or(at, |last| last.max(at)));
            let fast = hot.sent.plus(check.fast_interval);
            let at_once = matches!(reason, Reason::Refused | Reason::Unreachable) || fast.since(now) < 0;
            self.schedule(backend, if at_once { now } else { fast });
        }
    }

    /// Makes `due` the time of the backend's next probe, whatever it was before.
    #[inline]
    pub(super) fn schedule(&mut self, backend: u16, due: Tick) {
        if let Some(hot) = self.table.hot(backend) {
            hot.stamp = hot.stamp.wrapping_add(1);
            self.wheel.insert(Entry { due, backend, stamp: hot.stamp });
        }
    }
}
