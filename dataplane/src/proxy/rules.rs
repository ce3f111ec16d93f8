//! The rules R1 to R6: what becomes of each segment of a connection until its header is acknowledged.
//!
//! Sequence numbers are compared by their distance, which wraps.

use super::header::Header;
use super::pending::{Pending, Slab};
use super::{Phase, Proxy};
use crate::drop_reason::DropReason;
use crate::parse::Parsed;
use crate::port::{Packet, PacketPool};
use crate::segment::{KeptHeaders, Segment, Sent};
use crate::session::SessionId;
use crate::time::Nanos;
use crate::wire::tcp::{ACK, FIN, PSH, RST, SYN};
use std::time::Duration;

/// Acknowledged bytes of the client after which no segment with a lower acknowledgement is under way any more (R5).
const CLEAR_AFTER: i32 = 1 << 16;
/// The largest distance to an acknowledgement that is one of this connection, if nothing better is known.
const FARTHEST: i32 = 1 << 30;
/// Resets of the backend that are swallowed, and within which time (R6 b).
const SWALLOWED: u8 = 8;
const SWALLOWED_WITHIN: Duration = Duration::from_secs(1);
/// Flags that say something of congestion (RFC 3168), which a segment keeps.
const CONGESTION: u8 = 0xc0;

/// The headers of a worker's connections.
pub struct Proxying {
    slab: Slab,
}

/// What becomes of a client's segment.
#[derive(Debug)]
pub enum FromClient<P> {
    /// It goes on, as it is now.
    Pass,
    /// The header goes before it, in a segment of its own.
    After(Sent<P>),
    /// It ends here.
    Drop(DropReason),
}

/// What becomes of a backend's segment.
#[derive(Debug)]
pub struct FromBackend<P> {
    /// Why it ends here; `None`: it goes on, as it is now.
    pub dropped: Option<DropReason>,
    /// The header, once more for the backend.
    pub header: Option<Sent<P>>,
}

impl<P> FromBackend<P> {
    const PASS: Self = Self { dropped: None, header: None };
}

/// How far `sequence` lies behind `base`.
const fn distance(sequence: u32, base: u32) -> i32 {
    sequence.wrapping_sub(base).cast_signed()
}

impl Proxy {
    /// The first byte of the client's data (C + 1).
    const fn data(&self) -> u32 {
        self.first.wrapping_add(1)
    }

    /// The first byte of the header (C − P + 1).
    const fn begin(&self) -> u32 {
        self.data().wrapping_sub(self.len as u32)
    }
}

impl Proxying {
    /// Room for so many headers that are not acknowledged.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self { slab: Slab::new(capacity) }
    }

    fn pending(&mut self, proxy: &Proxy) -> Option<&mut Pending> {
        self.slab.get(proxy.pending.checked_sub(1)?)
    }

    /// A session ends: nothing more is known of its header.
    pub fn close(&mut self, proxy: &mut Proxy) {
        if let Some(number) = proxy.pending.checked_sub(1) {
            self.slab.free(number);
        }
        proxy.pending = 0;
    }

    /// A SYN of the client (R1). `make` makes the header, if the session has none yet.
    ///
    /// # Errors
    ///
    /// Why it ends here.
    pub fn syn<P: Packet>(
        &mut self,
        (proxy, session): (&mut Proxy, SessionId),
        packet: &mut P,
        parsed: &mut Parsed,
        make: impl FnOnce() -> Option<Header>,
    ) -> Result<(), DropReason> {
        let mut segment = Segment::new(packet, parsed).ok_or(DropReason::ProxySegment)?;
        let first = segment.header.sequence.get();
        // A copy of the SYN of a connection that stands, which came late, says nothing new.
        let is_late = proxy.len > 0 && proxy.pending == 0 && first == proxy.first;
        if proxy.pending == 0 && !is_late {
            // Before a place is taken: what is refused must not keep one. Of a connection that stands the length is fixed.
            let header = make().filter(|header| proxy.len == 0 || header.len() == usize::from(proxy.len));
            let header = header.ok_or(DropReason::ProxySegment)?;
            let number = self.slab.take().ok_or(DropReason::ProxyFull)?;
            let pending = self.slab.get(number).ok_or(DropReason::ProxyFull)?;
            (pending.session, pending.header) = (Some(session), header);
            if proxy.len == 0 {
                *proxy = Proxy { first, pending: number + 1, len: pending.header.len() as u16, phase: Phase::Pending };
                pending.acknowledged = proxy.begin();
                pending.highest = proxy.data();
            } else {
                // Of a connection that stands: whether the backend takes it as a new one, it will say.
                proxy.pending = number + 1;
                pending.waiting = Some(first);
            }
        } else if first != proxy.first
            && let Some(pending) = self.pending(proxy)
        {
            pending.waiting = Some(first);
        }
        if segment.payload_len() > 0 && !segment.cut_payload() {
            return Err(DropReason::ProxySegment);
        }
        segment.blank_fast_open_and_multipath();
        segment.set_sequence(first.wrapping_sub(proxy.len.into()));
        Ok(())
    }

    /// Any other segment of the client.
    pub fn pass_client<P: Packet>(
        &mut self,
        proxy: &mut Proxy,
        packet: &mut P,
        parsed: &mut Parsed,
        pool: &dyn PacketPool<Packet = P>,
        now: Nanos,
    ) -> FromClient<P> {
        if proxy.phase != Phase::Pending {
            return FromClient::Pass;
        }
        let number = proxy.pending.wrapping_sub(1);
        let Some(pending) = self.slab.get(number) else { return FromClient::Pass };
        let Some(segment) = Segment::new(packet, parsed) else { return FromClient::Drop(DropReason::ProxySegment) };
        let was_sent = pending.is_sent;
        let made = pending.of_client(proxy, segment, pool);
        if pending.is_sent && !was_sent {
            self.slab.start(number, now);
        }
        made
    }

    /// A segment of the backend.
    pub fn pass_backend<P: Packet>(
        &mut self,
        proxy: &mut Proxy,
        packet: &mut P,
        parsed: &mut Parsed,
        pool: &dyn PacketPool<Packet = P>,
        now: Nanos,
    ) -> FromBackend<P> {
        if proxy.phase == Phase::Clear && proxy.pending == 0 {
            return FromBackend::PASS;
        }
        let Some(mut segment) = Segment::new(packet, parsed) else { return FromBackend::PASS };
        if let Some(pending) = self.pending(proxy) {
            pending.another_connection(proxy, &segment);
        }
        match proxy.phase {
            Phase::Clear => FromBackend::PASS,
            Phase::Clamp => {
                let is_bare = segment.is_bare();
                // The shift of its windows is not known any more: a window that is too small is safe, and over soon.
                let is_old = raise(proxy, &mut segment, 0);
                if !is_old {
                    clamp(proxy, &mut segment, FARTHEST);
                }
                FromBackend { dropped: (is_old && is_bare).then_some(DropReason::ProxyConsumed), header: None }
            }
            Phase::Pending => {
                let Some(pending) = self.pending(proxy) else { return FromBackend::PASS };
                let made = pending.of_backend(proxy, segment, pool, now);
                if proxy.phase != Phase::Pending {
                    self.close(proxy);
                }
                made
            }
        }
    }

    /// Whose header is to be sent again since its time has come (R3 c), by [`Proxying::again`]; `None`: nobody's. To be asked until
    /// then.
    pub fn next_due(&mut self, now: Nanos) -> Option<SessionId> {
        let number = self.slab.next_due(now)?;
        self.slab.get(number)?.session
    }

    /// The header of a session once more; `None` if it has none that is not acknowledged, or no buffer is free.
    pub fn again<P: Packet>(&mut self, proxy: &Proxy, pool: &dyn PacketPool<Packet = P>) -> Option<Sent<P>> {
        self.pending(proxy).and_then(|pending| pending.frame(proxy, pool, None))
    }
}

/// R4, from the first acknowledgement behind the header on, and R5. One that is farther than `farthest` bytes behind the client's
/// first is not of this connection.
fn clamp<P: Packet>(proxy: &mut Proxy, segment: &mut Segment<'_, P>, farthest: i32) {
    if !segment.has(ACK) {
        return;
    }
    let acknowledged = segment.header.acknowledgement.get();
    let behind = distance(acknowledged, proxy.data());
    if behind < 0 || behind > farthest {
        return;
    }
    proxy.phase = if behind > CLEAR_AFTER { Phase::Clear } else { Phase::Clamp };
    segment.cut_sack(proxy.data());
}

/// R4: an acknowledgement of a part of the header becomes one of the client's SYN, and the window ends where it did. `scale` is the
/// shift of the window. Returns whether it is one.
fn raise<P: Packet>(proxy: &Proxy, segment: &mut Segment<'_, P>, scale: u8) -> bool {
    let acknowledged = segment.header.acknowledgement.get();
    let within = distance(acknowledged, proxy.begin());
    if !segment.has(ACK) || within < 0 || within >= i32::from(proxy.len) {
        return false;
    }
    let missing = proxy.data().wrapping_sub(acknowledged);
    let window = u32::from(segment.header.window.get()) << scale;
    segment.set_acknowledgement(proxy.data());
    segment.set_window((window.saturating_sub(missing) >> scale) as u16);
    segment.blank_sack();
    true
}

impl Pending {
    /// A client's segment before the header is acknowledged (R2, R3 a, R6 a).
    fn of_client<P: Packet>(
        &mut self,
        proxy: &Proxy,
        mut segment: Segment<'_, P>,
        pool: &dyn PacketPool<Packet = P>,
    ) -> FromClient<P> {
        if segment.has(RST) {
            if segment.header.sequence.get() == proxy.data() {
                segment.set_sequence(self.acknowledged);
            }
            return FromClient::Pass;
        }
        let Some(backend_first) = self.backend_first else { return FromClient::Drop(DropReason::ProxyEarly) };
        let before = distance(proxy.data(), segment.header.sequence.get());
        let cut = (before.max(0) as usize).min(segment.payload_len());
        if cut > 0 && !segment.cut_front(cut) {
            return FromClient::Drop(DropReason::ProxySegment);
        }
        let sequence = segment.header.sequence.get();
        let acknowledged = segment.header.acknowledgement.get();
        self.is_client_there |= sequence == proxy.data() && acknowledged == backend_first.wrapping_add(1);
        if !self.is_client_there {
            return FromClient::Drop(DropReason::ProxyEarly);
        }
        // Without them there is no header to send again.
        self.last = KeptHeaders::of(&segment);
        let end = sequence.wrapping_add(segment.payload_len() as u32 + u32::from(segment.has(FIN)));
        if distance(end, self.highest) > 0 {
            self.highest = end;
        }
        if segment.payload_len() == 0 && !segment.has(FIN) {
            return self.replace(proxy, segment);
        }
        if self.is_sent && sequence != proxy.data() {
            return FromClient::Pass;
        }
        let Some(header) = self.frame(proxy, pool, None) else { return FromClient::Drop(DropReason::NoBuffer) };
        self.is_sent = true;
        FromClient::After(header)
    }

    /// A bare acknowledgement becomes the header.
    fn replace<P: Packet>(&mut self, proxy: &Proxy, mut segment: Segment<'_, P>) -> FromClient<P> {
        let flags = segment.header.flags & CONGESTION | ACK | PSH;
        if !segment.set_payload(&self.header, flags) {
            return FromClient::Drop(DropReason::ProxySegment);
        }
        segment.set_sequence(proxy.begin());
        self.is_sent = true;
        FromClient::Pass
    }

    /// The header in a segment, made of the client's last one; `timestamps` instead of its own, if there are some.
    fn frame<P: Packet>(
        &self,
        proxy: &Proxy,
        pool: &dyn PacketPool<Packet = P>,
        timestamps: Option<([u8; 4], [u8; 4])>,
    ) -> Option<Sent<P>> {
        let Sent { mut packet, mut parsed } = self.last.as_ref()?.packet(pool)?;
        let mut segment = Segment::new(&mut packet, &mut parsed)?;
        let flags = segment.header.flags & CONGESTION | ACK | PSH;
        if !segment.set_payload(&self.header, flags) {
            return None;
        }
        segment.set_sequence(proxy.begin());
        if let Some(timestamps) = timestamps {
            segment.set_timestamps(timestamps);
        }
        parsed.flags = flags;
        Some(Sent { packet, parsed })
    }

    /// A backend that acknowledges another SYN of the client has another connection with it (R1).
    fn another_connection<P: Packet>(&mut self, proxy: &mut Proxy, segment: &Segment<'_, P>) {
        let Some(first) = self.waiting.filter(|_| segment.has(SYN)) else { return };
        let taken = Proxy { first, phase: Phase::Pending, ..*proxy };
        if segment.header.acknowledgement.get() != taken.begin() {
            return;
        }
        *proxy = taken;
        (self.acknowledged, self.highest) = (proxy.begin(), proxy.data());
        (self.backend_first, self.is_client_there, self.is_sent, self.waiting) = (None, false, false, None);
    }

    /// A backend's segment before the header is acknowledged (R3 b, R4, R5, R6 b).
    fn of_backend<P: Packet>(
        &mut self,
        proxy: &mut Proxy,
        mut segment: Segment<'_, P>,
        pool: &dyn PacketPool<Packet = P>,
        now: Nanos,
    ) -> FromBackend<P> {
        if segment.has(RST) && !segment.has(ACK) {
            return self.refused(proxy, &segment, pool, now);
        }
        let is_syn = segment.has(SYN);
        let acknowledged = segment.header.acknowledgement.get();
        if is_syn && segment.has(ACK) && acknowledged == proxy.begin() {
            self.backend_first = Some(segment.header.sequence.get());
            self.scale = segment.window_scale().unwrap_or(0);
        }
        let timestamps = segment.timestamps();
        let scale = if is_syn { 0 } else { self.scale };
        if !raise(proxy, &mut segment, scale) {
            let sent = distance(self.highest, proxy.data());
            clamp(proxy, &mut segment, sent);
            return FromBackend::PASS;
        }
        if distance(acknowledged, self.acknowledged) > 0 {
            self.acknowledged = acknowledged;
        }
        let is_bare = segment.is_bare();
        // What the backend has of the client it tells of a header that is lost, at least in part.
        let again = self.is_sent && (is_syn || is_bare);
        let echoed = timestamps.map(|(own, echo)| (echo, own));
        let header = if again { self.frame(proxy, pool, echoed) } else { None };
        let dropped = (is_bare && self.is_client_there).then_some(DropReason::ProxyConsumed);
        FromBackend { dropped, header }
    }

    /// A reset that acknowledges nothing, of a backend that forgot its SYN: one with SYN cookies checks them against the first byte
    /// that comes, and only the header's is right.
    fn refused<P: Packet>(
        &mut self,
        proxy: &Proxy,
        segment: &Segment<'_, P>,
        pool: &dyn PacketPool<Packet = P>,
        now: Nanos,
    ) -> FromBackend<P> {
        if !self.is_sent || Some(segment.header.sequence.get()) != self.last_acknowledgement() {
            return FromBackend::PASS;
        }
        let (count, since) = self.swallowed;
        let (count, since) = if count == 0 || now.since(since) > SWALLOWED_WITHIN { (0, now) } else { (count, since) };
        self.swallowed = (count.saturating_add(1), since);
        if count >= SWALLOWED {
            return FromBackend::PASS;
        }
        FromBackend { dropped: Some(DropReason::ProxyConsumed), header: self.frame(proxy, pool, None) }
    }

    /// What the client acknowledged last.
    fn last_acknowledgement(&self) -> Option<u32> {
        self.last.as_ref()?.acknowledgement()
    }
}
