//! The SYN proxy among the sessions: who is answered here, who has proven to be there, and how a backend joins.

use super::life::begins;
use super::{Arrival, NotPassed, SessionStage, both, hop_to};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::nat::Nat;
use crate::parse::{Kind, Parsed};
use crate::port::Packet;
use crate::rewrite::NextHop;
use crate::segment::{Draft, Segment};
use crate::select::Selection;
use crate::session::{LastHop, Looked, Session, SessionId, Side, TcpState, Tuple};
use crate::syn_proxy::{Proof, Splice, SynProxy, answer, timestamps, written};
use crate::wire::protocol;
use crate::wire::tcp::{ACK, RST, SYN, TcpHeader};
use zerocopy::FromBytes;

/// Shift of a share of the embryonic sessions' bound: above seven eighths SYNs are answered here.
const PRESSED_SHIFT: u32 = 3;

/// IP and TCP headers in bytes.
const HEADERS: [u16; 2] = [40, 60];

impl<P: Packet> SessionStage<P> {
    /// Whether a SYN is to be answered here.
    pub(super) fn is_guarded(&mut self, selection: &Selection<'_>, parsed: &Parsed, arrival: Arrival<'_>) -> bool {
        if parsed.protocol != protocol::TCP || parsed.kind != Kind::Whole || !begins(parsed) {
            return false;
        }
        match mode(selection) {
            SynProxy::Off => false,
            SynProxy::On => true,
            SynProxy::Auto { rate } => {
                let most = self.sessions.most_embryonic();
                let is_pressed = self.sessions.embryonic() > most - (most >> PRESSED_SHIFT);
                self.rates.count(selection.pool_id(), rate, arrival.now) || is_pressed
            }
        }
    }

    /// Turns a SYN into the answer to it.
    pub(super) fn answer_syn(
        &mut self,
        packet: &mut P,
        parsed: &Parsed,
        selection: &Selection<'_>,
        arrival: Arrival<'_>,
        counters: &WorkerCounters,
    ) -> NotPassed {
        let back = super::last_hop(packet.frame(), arrival).and_then(|back| hop_to(back, arrival.snapshot));
        let place = selection.current().and_then(|index| both(selection.pool(), usize::from(index)));
        let hop = place.and_then(|(backend, _)| backend.hops.of_flow(selection.hash));
        // Nobody would serve it.
        let (Some(back), Some((_, nat)), Some(hop)) = (back, place, hop) else {
            return DropReason::NoBackend.into();
        };
        let size = segment_size(&Tuple::of(parsed), nat, [&back, hop]);
        if !answer(packet, parsed, size, &mut self.cookies, arrival.now) {
            return DropReason::SynProxyJoining.into();
        }
        counters.sessions.cookies.add(1);
        NotPassed::Answered
    }

    /// What a client's segment that begins nothing, and belongs to no session, proves.
    pub(super) fn proof(
        &mut self,
        tuple: &Tuple,
        (packet, parsed): (&mut P, &Parsed),
        selection: &Selection<'_>,
        arrival: Arrival<'_>,
    ) -> Option<Proof> {
        let may_be = parsed.protocol == protocol::TCP
            && parsed.kind == Kind::Whole
            && parsed.flags & (SYN | RST | ACK) == ACK
            && mode(selection) != SynProxy::Off;
        if !may_be {
            return None;
        }
        let mut parsed = *parsed;
        let segment = Segment::new(packet, &mut parsed)?;
        let sequence = segment.header.sequence.get();
        let cookie = segment.header.acknowledgement.get().wrapping_sub(1);
        let echoed = segment.timestamps().map(|(_, echoed)| u32::from_be_bytes(echoed));
        self.cookies.check(tuple, (sequence, segment.is_bare()), cookie, echoed, arrival.now)
    }

    /// Begins a session for a client that has proven to be there: its backend gets the SYN that the client sent before.
    pub(super) fn admit(
        &mut self,
        looked: &Looked,
        proof: Proof,
        (number, packet, parsed): (usize, &mut P, &Parsed),
        selection: &mut Selection<'_>,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<(), DropReason> {
        let Some((segment_window, clocks)) = said(packet, parsed) else { return Err(DropReason::SynProxyJoining) };
        let id = self.assign(looked, selection, (TcpState::spliced(), None), (arrival, counters))?;
        counters.sessions.proven.add(1);
        if let Some(session) = self.sessions.get_mut(id)
            && let Some(last_hop) = super::last_hop(packet.frame(), arrival)
        {
            session.last_hop = last_hop;
        }
        let echoed = clocks.map(|(_, echoed)| echoed);
        let is_scaled = proof.options.scale().is_some();
        let (sequence, clock) = (proof.cookie, echoed.unwrap_or(0));
        self.splices.set(id, Splice { sequence, clock, is_scaled, ..Splice::default() });
        let window = u32::from(segment_window) << proof.options.scale().unwrap_or(0);
        let options =
            written(proof.options.size(), proof.options.scale(), proof.options.sack(), clocks.map(|(own, _)| (own, 0)));
        let syn = Draft {
            tuple: looked.tuple,
            sequence: proof.first,
            acknowledgement: 0,
            flags: SYN,
            window: window.min(u16::MAX.into()) as u16,
            options: &options,
        };
        let Some(mut syn) = syn.packet(&*self.pool) else {
            self.end(id, counters, arrival.now);
            return Err(DropReason::NoBuffer);
        };
        let syn = Segment::new(&mut syn.packet, &mut syn.parsed);
        let place = self.sessions.get(id).and_then(|session| both(selection.pool(), usize::from(session.index)));
        if let (Some(syn), Some((_, nat))) = (syn, place) {
            self.open_attempt(id, &syn, nat.retry.after, arrival);
        }
        if self.sessions.get(id).is_none_or(|session| session.attempt().is_none()) {
            self.end(id, counters, arrival.now);
            return Err(DropReason::SessionsFull);
        }
        self.send_syn(id, number, (arrival, counters));
        Ok(())
    }

    /// How the numbers of a session differ, if the SYN proxy answered its SYN and its backend has joined.
    pub(super) fn splice(&self, id: SessionId, session: &Session) -> Option<Splice> {
        if !session.tcp.is_spliced() {
            return None;
        }
        self.splices.get(id).filter(|splice| splice.is_joined)
    }

    /// What becomes of a client's segment: as the backend understands it. Before a backend has joined nothing is for it.
    pub(super) fn splice_to_backend(
        &mut self,
        id: SessionId,
        packet: &mut P,
        parsed: &mut Parsed,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<(), DropReason> {
        let Some(session) = self.sessions.get(id).copied().filter(|session| session.tcp.is_spliced()) else {
            return Ok(());
        };
        let Some(splice) = self.splice(id, &session) else {
            let is_reset = parsed.kind == Kind::Whole && parsed.flags & RST != 0;
            if is_reset && self.is_of_attempt(&session, packet, parsed) {
                self.end(id, counters, arrival.now);
            }
            return Err(DropReason::SynProxyJoining);
        };
        if matches!(parsed.kind, Kind::Whole | Kind::FirstFragment) && parsed.protocol == protocol::TCP {
            let mut segment = Segment::new(packet, parsed).ok_or(DropReason::ProxySegment)?;
            splice.for_backend(&mut segment);
        }
        Ok(())
    }

    /// Whether a reset has the number that its client would send next.
    fn is_of_attempt(&mut self, session: &Session, packet: &P, parsed: &Parsed) -> bool {
        let attempt = session.attempt().and_then(|place| self.attempts.get(place));
        let first = attempt.and_then(|attempt| attempt.syn.sequence());
        let bytes = packet.frame().get(usize::from(parsed.transport_offset)..).unwrap_or(&[]);
        let header = TcpHeader::ref_from_prefix(bytes).ok().map(|(header, _)| header);
        first.zip(header).is_some_and(|(first, header)| header.sequence.get() == first.wrapping_add(1))
    }

    /// What becomes of a backend's segment: as the client understands it.
    pub(super) fn splice_to_client(&mut self, id: SessionId, packet: &mut P, parsed: &mut Parsed) {
        let Some(splice) = self.sessions.get(id).and_then(|session| self.splice(id, session)) else { return };
        if matches!(parsed.kind, Kind::Whole | Kind::FirstFragment)
            && parsed.protocol == protocol::TCP
            && let Some(mut segment) = Segment::new(packet, parsed)
        {
            splice.for_client(&mut segment);
        }
    }

    /// The backend answers: it gets the client's acknowledgement, and the client the window.
    pub(super) fn join(
        &mut self,
        id: SessionId,
        (number, packet): (usize, &mut P),
        parsed: &Parsed,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) {
        let Some((session, mut splice)) = self.sessions.get(id).copied().zip(self.splices.get(id)) else { return };
        let syn = session.attempt().and_then(|place| self.attempts.get(place)).map(|attempt| attempt.syn.clone());
        let Some((first, client)) = syn.and_then(|syn| {
            let mut syn = syn.packet(&*self.pool)?;
            let segment = Segment::new(&mut syn.packet, &mut syn.parsed)?;
            let clock = segment.timestamps().map(|(own, _)| u32::from_be_bytes(own));
            let window = (segment.header.window.get(), segment.window_scale().unwrap_or(0));
            Some((segment.header.sequence.get(), (clock, window)))
        }) else {
            return;
        };
        let (client_clock, (client_window, client_scale)) = client;
        let mut of_answer = *parsed;
        let mut settings = self.settings();
        // The header's rules hear what the backend said.
        let heard = self.answer_proxy(id, (number, &mut *packet), &mut of_answer, (arrival, counters), &mut settings);
        let Some(answer) = Segment::new(packet, &mut of_answer).filter(|_| heard.is_ok()) else { return };
        let (theirs, window) = (answer.header, answer.header.window.get());
        let backend_clock = answer.timestamps().map(|(own, _)| u32::from_be_bytes(own));
        let next = theirs.sequence.get().wrapping_add(1);
        splice.sequence = splice.sequence.wrapping_sub(theirs.sequence.get());
        // A backend without timestamps has none to shift.
        splice.clock = splice.clock.wrapping_sub(backend_clock.unwrap_or(splice.clock));
        let backend_scale = answer.window_scale();
        splice.backend_scale = backend_scale.unwrap_or(0);
        // One that knows of no scale takes a window for what stands there.
        splice.client_scale = if backend_scale.is_none() { client_scale } else { 0 };
        let client_window = if backend_scale.is_none() { client_window } else { client_window >> client_scale };
        splice.is_joined = true;
        self.splices.set(id, splice);
        self.close_attempt(id);
        let (Some(outside), Some(session)) = (self.sessions.outside(id), self.sessions.get_mut(id)) else { return };
        let mut theirs = theirs;
        // In the client's numbers: those behind a header are the same.
        theirs.acknowledgement = first.wrapping_add(1).into();
        session.hear(Side::Backend, &theirs, 0);
        let last_hop = session.last_hop;
        let clocks = client_clock.zip(backend_clock);
        let acknowledgement = Draft {
            tuple: outside,
            sequence: first.wrapping_add(1),
            acknowledgement: next,
            flags: ACK,
            window: client_window,
            options: &timestamps(clocks),
        };
        if let Some(sent) = acknowledgement.packet(&*self.pool) {
            self.send_acknowledgement(id, (number, sent), (arrival, counters));
        }
        self.open_window(&outside, (first, next), (splice, window), clocks, (number, last_hop), arrival);
    }

    fn send_acknowledgement(
        &mut self,
        id: SessionId,
        (number, sent): (usize, crate::segment::Sent<P>),
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) {
        let pool = self.sessions.get(id).and_then(|session| arrival.snapshot.pool(session.pool));
        let nat = pool.and_then(|pool| super::place_of(self.sessions.get_mut(id)?, pool)).map(|(_, nat)| nat);
        if let Some(nat) = nat {
            self.follow(id, Side::Client, &sent.parsed, sent.packet.frame(), nat, arrival.now);
        }
        // If it is lost, the backend answers again, and the client says it once more.
        let _ = self.send_for_client(id, (number, sent), (arrival, counters));
    }

    /// Lets the client speak: its backend's window, which was nothing until now.
    fn open_window(
        &mut self,
        outside: &Tuple,
        (first, next): (u32, u32),
        (splice, window): (Splice, u16),
        clocks: Option<(u32, u32)>,
        (number, last_hop): (usize, LastHop),
        arrival: Arrival<'_>,
    ) {
        // That of a SYN has no scale.
        let window = if splice.is_scaled { window >> crate::syn_proxy::WINDOW_SCALE } else { window };
        let update = Draft {
            tuple: outside.reversed(),
            sequence: next.wrapping_add(splice.sequence),
            acknowledgement: first.wrapping_add(1),
            flags: ACK,
            window,
            options: &timestamps(clocks.map(|(client, backend)| (backend.wrapping_add(splice.clock), client))),
        };
        if let Some(update) = update.packet(&*self.pool) {
            self.send_ready((number, update), last_hop, arrival);
        }
    }

    /// No backend takes the client, who counts as connected: it is told that it is not.
    pub(super) fn give_up(
        &mut self,
        id: SessionId,
        number: usize,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) {
        let first = self.sessions.get(id).and_then(|session| session.attempt());
        let first = first.and_then(|place| self.attempts.get(place)).and_then(|attempt| attempt.syn.sequence());
        if let (Some(first), Some(outside), Some(splice), Some(session)) =
            (first, self.sessions.outside(id), self.splices.get(id), self.sessions.get(id).copied())
        {
            let reset = Draft {
                tuple: outside.reversed(),
                sequence: splice.sequence.wrapping_add(1),
                acknowledgement: first.wrapping_add(1),
                flags: RST | ACK,
                window: 0,
                options: &[],
            };
            if let Some(reset) = reset.packet(&*self.pool) {
                self.send_ready((number, reset), session.last_hop, arrival);
            }
        }
        counters.sessions.unanswered.add(1);
        self.end(id, counters, arrival.now);
    }
}

fn mode(selection: &Selection<'_>) -> SynProxy {
    selection.pool().nats.first().map_or(SynProxy::Off, |nat| nat.syn_proxy)
}

/// The window of a segment, and its timestamps.
fn said<P: Packet>(packet: &mut P, parsed: &Parsed) -> Option<(u16, Option<(u32, u32)>)> {
    let mut parsed = *parsed;
    let segment = Segment::new(packet, &mut parsed)?;
    let clocks = segment.timestamps().map(|(own, echo)| (u32::from_be_bytes(own), u32::from_be_bytes(echo)));
    Some((segment.header.window.get(), clocks))
}

/// The largest segment in bytes that fits these ways, in whichever family it travels there.
pub(super) fn segment_size(outside: &Tuple, nat: &Nat, ways: [&NextHop; 2]) -> u16 {
    let is_v6 = !outside.is_v4() || !crate::vip::is_v4(nat.backend.address);
    let mtu = ways.iter().map(|hop| hop.mtu).min().unwrap_or(u16::MAX);
    mtu.saturating_sub(HEADERS[usize::from(is_v6)])
}
