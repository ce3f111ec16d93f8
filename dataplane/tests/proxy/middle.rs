//! What stands between client and backend: the rules alone, no address is changed.

use guideway_dataplane::memory::{MemoryPacket, MemoryPool};
use guideway_dataplane::parse::{Outcome, Parsed, parse};
use guideway_dataplane::port::{Packet, PacketPool};
use guideway_dataplane::proxy::{FromClient, Header, Proxy, Proxying, Style, header};
use guideway_dataplane::session::{Session, SessionId, Sessions, Tuple};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::tcp::{ACK, SYN};
use std::time::Duration;

static PORT: PortState = PortState::taking_any_destination([2, 0, 0, 0, 0, 1]);

/// One connection's middle.
pub struct Middle {
    proxying: Proxying,
    pub proxy: Proxy,
    session: SessionId,
    /// `None`: it changes nothing, for comparison.
    style: Option<Style>,
    pub now: Nanos,
    /// The header, once it was made.
    pub header: Vec<u8>,
}

pub fn parsed(frame: &[u8]) -> Parsed {
    match parse(frame, frame.len(), &PORT) {
        Outcome::Packet(parsed) => parsed,
        other => panic!("{other:?}"),
    }
}

/// The name of a session, of whatever table.
pub fn some_session() -> SessionId {
    let mut sessions = Sessions::new(1, Box::default(), guideway_dataplane::hash::FlowHasher::new([1; 16]));
    let end = |port| guideway_dataplane::session::Endpoint { address: u128::from(port), port };
    let tuple = Tuple { source: end(1), destination: end(2), protocol: 6 };
    let timeout = (false, Duration::from_secs(1));
    sessions.insert(&tuple, &tuple, Session::NOTHING, timeout, Nanos(0)).expect("room")
}

/// A frame of which the first buffer holds a part.
#[derive(Debug)]
pub struct Split {
    bytes: Vec<u8>,
    first: usize,
}

impl Split {
    pub fn new(frame: &[u8], first: usize) -> Self {
        Self { bytes: frame.to_vec(), first }
    }
}

impl Packet for Split {
    fn frame(&self) -> &[u8] {
        &self.bytes[..self.first]
    }

    fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.first]
    }

    fn total_len(&self) -> usize {
        self.bytes.len()
    }

    fn prepend(&mut self, _: usize) -> bool {
        false
    }

    fn trim_front(&mut self, _: usize) -> bool {
        false
    }

    fn resize(&mut self, _: usize) -> bool {
        false
    }
}

/// Nothing to take.
pub struct NoPool;

impl PacketPool for NoPool {
    type Packet = Split;

    fn alloc(&self, _: &[u8]) -> Option<Split> {
        None
    }
}

impl Middle {
    /// For packets that are no [`MemoryPacket`]s.
    pub fn parts(&mut self) -> (&mut Proxying, &mut Proxy) {
        (&mut self.proxying, &mut self.proxy)
    }

    pub fn new(style: Option<Style>) -> Self {
        let session = some_session();
        Self {
            proxying: Proxying::new(1),
            proxy: Proxy::NONE,
            session,
            style,
            now: Nanos(1_000_000_000),
            header: Vec::new(),
        }
    }

    /// What goes to the backend for a frame of the client.
    pub fn pass_client(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let Some(style) = self.style else { return vec![frame.to_vec()] };
        let mut packet = MemoryPacket::new(frame);
        let mut parsed = parsed(frame);
        let kept = |packet: MemoryPacket| packet.frame().to_vec();
        if parsed.flags & (SYN | ACK) == SYN {
            let tuple = Tuple::of(&parsed);
            let mut made: Option<Header> = None;
            let make = || {
                made = header(style, &tuple, 7);
                made.clone()
            };
            let done = self.proxying.syn((&mut self.proxy, self.session), &mut packet, &mut parsed, make);
            if let Some(made) = made {
                self.header = made.to_vec();
            }
            return done.map_or_else(|_| Vec::new(), |()| vec![kept(packet)]);
        }
        match self.proxying.pass_client(&mut self.proxy, &mut packet, &mut parsed, &MemoryPool, self.now) {
            FromClient::Pass => vec![kept(packet)],
            FromClient::After(sent) => vec![kept(sent.packet), kept(packet)],
            FromClient::Drop(_) => Vec::new(),
        }
    }

    /// What goes to the client, and to the backend, for a frame of the backend.
    pub fn pass_backend(&mut self, frame: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        if self.style.is_none() {
            return (vec![frame.to_vec()], Vec::new());
        }
        let mut packet = MemoryPacket::new(frame);
        let mut parsed = parsed(frame);
        let made = self.proxying.pass_backend(&mut self.proxy, &mut packet, &mut parsed, &MemoryPool, self.now);
        let to_client = if made.dropped.is_none() { vec![packet.frame().to_vec()] } else { Vec::new() };
        (to_client, made.header.into_iter().map(|sent| sent.packet.frame().to_vec()).collect())
    }

    /// What goes to the backend since its time has come.
    pub fn due(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while self.proxying.next_due(self.now).is_some() {
            let again = self.proxying.again(&self.proxy, &MemoryPool);
            sent.extend(again.map(|sent| sent.packet.frame().to_vec()));
        }
        sent
    }
}
