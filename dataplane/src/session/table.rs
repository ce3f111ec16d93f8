//! The table of one worker's sessions.

mod life;
mod look;
mod rebind;
mod room;

use super::index::{Index, MOST, SessionKey};
use super::record::{Endpoint, Session, SessionId, Side, Tuple, TupleHash};
use super::wheel::{Linked, Links, NONE, TICK_MILLIS, Wheel};
use crate::hash::FlowHasher;
use crate::time::Nanos;
use std::ops::Range;
use std::time::Duration;

pub use look::Looked;
pub use room::RECENT;

/// Of how many sessions one may be embryonic unless said otherwise: what comes above is refused, or takes the place of the oldest
/// of them.
const EMBRYONIC_SHARE: u32 = 4;

/// What a place of the table is found by: a session's tuples, or a link of the list of free places. One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Record {
    client: u128,
    vip: u128,
    backend: u128,
    /// Ports of client, VIP, source and backend.
    ports: [u16; 4],
    /// Ticks.
    deadline: u32,
    /// Which of the source addresses stands for the client; [`CLIENT`]: it keeps its own.
    source: u16,
    /// 0: free.
    protocol: u8,
}

/// The rest of a place.
#[derive(Clone, Copy, Debug)]
struct Kept {
    session: Session,
    links: Links,
    /// After how much silence its time is over, see [`patience`]: the deadline less this is when its last packet came.
    patience: u16,
}

/// No address stands for the client.
const CLIENT: u16 = u16::MAX;

// With two entries of four bytes in an index that is three quarters full: 127 bytes a session.
const _: () = assert!(size_of::<Record>() == 64 && size_of::<Kept>() <= 52);

/// Why there is no session for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Every place is taken.
    Table,
    /// As many as may be embryonic are, and none of them gives way.
    Embryonic,
    /// Another session has one of its tuples.
    Taken,
}

/// A session that is gone.
#[derive(Clone, Copy, Debug)]
pub struct Removed {
    /// The tuple of the client's packets.
    pub outside: Tuple,
    /// The tuple of packets to the backend.
    pub inside: Tuple,
    /// The hash of the tuple of the backend's packets, for [`super::Ports::free`].
    pub answer: TupleHash,
    /// What was kept of it.
    pub session: Session,
}

/// What is kept of sessions, with their links.
struct Rest(Box<[Kept]>);

/// The sessions of one worker, in both directions. Of fixed size; nothing is allocated after [`Sessions::new`].
pub struct Sessions {
    records: Box<[Record]>,
    kept: Rest,
    index: Index,
    wheel: Wheel,
    hasher: FlowHasher,
    /// The addresses that stand for clients, sorted.
    sources: Box<[u128]>,
    /// First of the free places, linked by `deadline`.
    free: u32,
    live: u32,
    embryonic: u32,
    most_embryonic: u32,
    /// The hashes of the tuples of sessions that may end next, client's and backend's.
    ahead: [Option<(u32, [TupleHash; 2])>; 2],
}

impl Linked for Rest {
    #[inline]
    fn links(&mut self, number: u32) -> Option<&mut Links> {
        self.0.get_mut(number as usize).map(|kept| &mut kept.links)
    }
}

impl Record {
    #[inline]
    fn tuple(&self, side: Side, sources: &[u128]) -> Tuple {
        let [client_port, vip_port, source_port, backend_port] = self.ports;
        let end = |address, port| Endpoint { address, port };
        let (source, destination) = match side {
            Side::Client => (end(self.client, client_port), end(self.vip, vip_port)),
            Side::Backend => {
                let address = sources.get(usize::from(self.source)).copied().unwrap_or(self.client);
                (end(self.backend, backend_port), Endpoint { address, port: source_port })
            }
        };
        Tuple { source, destination, protocol: self.protocol }
    }
}

/// The hashes of sessions' tuples, for those that give way in the index.
fn hashes<'t>(
    records: &'t [Record],
    sources: &'t [u128],
    hasher: &'t FlowHasher,
) -> impl Fn(u32, Side) -> u128 + Copy + 't {
    move |number, side| {
        let record = records.get(number as usize);
        record.map_or(0, |record| record.tuple(side, sources).hash(hasher).0)
    }
}

/// Ticks at a moment.
const fn ticks(now: Nanos) -> u32 {
    (now.0 / (TICK_MILLIS * 1_000_000)) as u32
}

/// The tick at which a session that is touched now has been silent for this long.
const fn deadline(now: Nanos, timeout: Duration) -> u32 {
    let millis = timeout.as_millis() as u64;
    ticks(now).wrapping_add(millis.div_ceil(TICK_MILLIS) as u32).wrapping_add(1)
}

/// Seconds of a step of [`Kept::patience`]: 24 hours fit, the longest timeout.
const PATIENCE_STEP: u64 = 2;

/// A timeout in steps, rounded down: a session seems to have had its last packet later rather than earlier.
fn patience(timeout: Duration) -> u16 {
    u16::try_from(timeout.as_secs() / PATIENCE_STEP).unwrap_or(u16::MAX)
}

impl Sessions {
    /// Room for so many sessions, which may be none; `sources` are the addresses that stand for clients, at most 65,535.
    /// `hasher` has a secret of the process for its key, so that no client can aim at a bucket.
    #[must_use]
    pub fn new(capacity: u32, mut sources: Box<[u128]>, hasher: FlowHasher) -> Self {
        let capacity = capacity.min(MOST);
        sources.sort_unstable();
        let nobody = Kept { session: Session::NOTHING, links: Links::FREE, patience: 0 };
        let record = |number: u32| Record {
            client: 0,
            vip: 0,
            backend: 0,
            ports: [0; 4],
            source: CLIENT,
            deadline: if number + 1 < capacity { number + 1 } else { NONE },
            protocol: 0,
        };
        Self {
            records: (0..capacity).map(record).collect(),
            kept: Rest(vec![nobody; capacity as usize].into()),
            index: Index::new(capacity),
            wheel: Wheel::new(),
            hasher,
            sources,
            free: if capacity > 0 { 0 } else { NONE },
            live: 0,
            embryonic: 0,
            most_embryonic: capacity.div_ceil(EMBRYONIC_SHARE),
            ahead: [None; 2],
        }
    }

    /// Bytes that the table takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.records) + size_of_val(&*self.kept.0) + self.index.bytes()
    }

    /// The addresses of its memory, for wishes about pages.
    #[must_use]
    pub fn memory(&self) -> [Range<usize>; 3] {
        let (records, kept) = (self.records.as_ptr_range(), self.kept.0.as_ptr_range());
        [records.start.addr()..records.end.addr(), kept.start.addr()..kept.end.addr(), self.index.memory()]
    }

    /// Sessions now.
    #[must_use]
    pub const fn live(&self) -> u32 {
        self.live
    }

    /// Those of them that are not established.
    #[must_use]
    pub const fn embryonic(&self) -> u32 {
        self.embryonic
    }

    fn key(&self, hash: TupleHash) -> SessionKey {
        self.index.key(hash.0)
    }

    /// The session that a packet with this tuple belongs to, and who sent it.
    #[inline]
    #[must_use]
    pub fn find(&self, tuple: &Tuple) -> Option<(SessionId, Side)> {
        self.find_hashed(tuple, tuple.hash(&self.hasher))
    }

    /// [`Sessions::find`] where the tuple's hash is known already.
    #[inline]
    #[must_use]
    pub fn find_hashed(&self, tuple: &Tuple, hash: TupleHash) -> Option<(SessionId, Side)> {
        let found = self.index.find(self.key(hash), |number, side| self.is_of(number, side, tuple));
        found.map(|(number, side)| (SessionId(number), side))
    }

    fn record(&self, id: SessionId) -> Option<&Record> {
        self.records.get(id.0 as usize).filter(|record| record.protocol != 0)
    }

    /// What is kept of a session.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.record(id)?;
        self.kept.0.get(id.0 as usize).map(|kept| &kept.session)
    }

    /// The same, to be changed.
    #[must_use]
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.record(id)?;
        self.kept.0.get_mut(id.0 as usize).map(|kept| &mut kept.session)
    }

    /// The tuple of the client's packets.
    #[must_use]
    pub fn outside(&self, id: SessionId) -> Option<Tuple> {
        self.record(id).map(|record| record.tuple(Side::Client, &self.sources))
    }

    /// The tuple of packets to the backend.
    #[must_use]
    pub fn inside(&self, id: SessionId) -> Option<Tuple> {
        self.record(id).map(|record| record.tuple(Side::Backend, &self.sources).reversed())
    }
}
