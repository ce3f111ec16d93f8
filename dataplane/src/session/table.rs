//! The table of one worker's sessions.

use super::index::{Index, MOST, SessionKey};
use super::record::{Endpoint, Session, SessionId, Side, Tuple};
use super::wheel::{EMBRYONIC, Linked, Links, NONE, TICK_MILLIS, Wheel};
use crate::hash::FlowHasher;
use crate::time::Nanos;
use std::time::Duration;

/// Of how many sessions one may be embryonic: what comes above is refused, or takes the place of the oldest of them.
const EMBRYONIC_SHARE: u32 = 4;

/// A place of the table: a session, or a link of the list of free ones.
#[derive(Clone, Copy, Debug)]
struct Record {
    client: [u8; 16],
    vip: [u8; 16],
    backend: [u8; 16],
    /// Ports of client, VIP, source and backend.
    ports: [u16; 4],
    /// Ticks.
    deadline: u32,
    session: Session,
    links: Links,
    /// Which of the source addresses stands for the client; [`CLIENT`]: it keeps its own.
    source: u16,
    /// 0: free.
    protocol: u8,
}

/// No address stands for the client.
const CLIENT: u16 = u16::MAX;

// With two entries of four bytes in an index that is three quarters full: 127 bytes a session.
const _: () = assert!(size_of::<Record>() <= 116);

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

struct Records(Box<[Record]>);

/// The sessions of one worker, in both directions. Of fixed size; nothing is allocated after [`Sessions::new`].
pub struct Sessions {
    records: Records,
    index: Index,
    wheel: Wheel,
    hasher: FlowHasher,
    /// The addresses that stand for clients, sorted.
    sources: Box<[u128]>,
    /// First of the free places, linked by `deadline`.
    free: u32,
    live: u32,
    embryonic: u32,
}

impl Linked for Records {
    fn links(&mut self, number: u32) -> Option<&mut Links> {
        self.0.get_mut(number as usize).map(|record| &mut record.links)
    }
}

impl Record {
    fn tuple(&self, side: Side, sources: &[u128]) -> Tuple {
        let [client_port, vip_port, source_port, backend_port] = self.ports;
        let end = |address, port| Endpoint { address: u128::from_be_bytes(address), port };
        let (source, destination) = match side {
            Side::Client => (end(self.client, client_port), end(self.vip, vip_port)),
            Side::Backend => {
                let own = || u128::from_be_bytes(self.client);
                let address = sources.get(usize::from(self.source)).copied().unwrap_or_else(own);
                (end(self.backend, backend_port), Endpoint { address, port: source_port })
            }
        };
        Tuple { source, destination, protocol: self.protocol }
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

impl Sessions {
    /// Room for so many sessions, which may be none; `sources` are the addresses that stand for clients, at most 65,535. `hasher` has a secret of the process for its key, so that no client can aim
    /// at a bucket.
    #[must_use]
    pub fn new(capacity: u32, mut sources: Box<[u128]>, hasher: FlowHasher) -> Self {
        let capacity = capacity.min(MOST);
        sources.sort_unstable();
        let nobody = Session::NOTHING;
        let record = |number: u32| Record {
            client: [0; 16],
            vip: [0; 16],
            backend: [0; 16],
            ports: [0; 4],
            links: Links::FREE,
            source: CLIENT,
            deadline: if number + 1 < capacity { number + 1 } else { NONE },
            session: nobody,
            protocol: 0,
        };
        Self {
            records: Records((0..capacity).map(record).collect()),
            index: Index::new(capacity),
            wheel: Wheel::new(),
            hasher,
            sources,
            free: if capacity > 0 { 0 } else { NONE },
            live: 0,
            embryonic: 0,
        }
    }

    /// Bytes that the table takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.records.0) + self.index.bytes()
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

    fn key(&self, tuple: &Tuple) -> SessionKey {
        self.index.key(self.hasher.hash(&tuple.key()).0)
    }

    /// Asks for the cache lines where a session with this tuple would be found.
    pub fn prefetch(&self, tuple: &Tuple) {
        self.index.prefetch(self.key(tuple));
    }

    /// The session that a packet with this tuple belongs to, and who sent it.
    #[must_use]
    pub fn find(&self, tuple: &Tuple) -> Option<(SessionId, Side)> {
        self.find_by(self.key(tuple), tuple)
    }

    fn find_by(&self, key: SessionKey, tuple: &Tuple) -> Option<(SessionId, Side)> {
        let is_it = |&(number, side): &(u32, Side)| {
            self.records.0.get(number as usize).is_some_and(|record| record.tuple(side, &self.sources) == *tuple)
        };
        self.index.candidates(key).find(is_it).map(|(number, side)| (SessionId(number), side))
    }

    /// Takes in a session: packets with the tuple `outside` (client to VIP), and with the reverse of `inside` (source to
    /// backend), are found from now on. It is looked at again after `timeout`; an embryonic one before every other.
    ///
    /// # Errors
    ///
    /// Why there is no room. Nothing changed then.
    pub fn insert(
        &mut self,
        outside: &Tuple,
        inside: &Tuple,
        session: Session,
        (is_embryonic, timeout): (bool, Duration),
        now: Nanos,
    ) -> Result<SessionId, Full> {
        let number = self.free;
        if number == NONE {
            return Err(Full::Table);
        }
        if is_embryonic && self.embryonic >= self.most_embryonic() {
            return Err(Full::Embryonic);
        }
        let Some(source) = self.source_of(outside, inside) else { return Err(Full::Taken) };
        let answer = inside.reversed();
        let keys = [self.key(outside), self.key(&answer)];
        if self.find_by(keys[0], outside).is_some() || self.find_by(keys[1], &answer).is_some() {
            return Err(Full::Taken);
        }
        let (records, sources, hasher) = (&self.records.0, &self.sources, &self.hasher);
        let hash_of = |number: u32, side: Side| {
            let record = records.get(number as usize);
            record.map_or(0, |record| hasher.hash(&record.tuple(side, sources).key()).0)
        };
        if !self.index.insert(keys[0], number, Side::Client, hash_of) {
            return Err(Full::Table);
        }
        if !self.index.insert(keys[1], number, Side::Backend, hash_of) {
            self.index.remove(keys[0], number, Side::Client);
            return Err(Full::Table);
        }
        let Some(record) = self.records.0.get_mut(number as usize) else { return Err(Full::Table) };
        self.free = record.deadline;
        let until = deadline(now, timeout);
        *record = Record {
            client: outside.source.address.to_be_bytes(),
            vip: outside.destination.address.to_be_bytes(),
            source,
            backend: inside.destination.address.to_be_bytes(),
            ports: [outside.source.port, outside.destination.port, inside.source.port, inside.destination.port],
            links: Links::FREE,
            deadline: until,
            session,
            protocol: outside.protocol,
        };
        if self.live == 0 {
            self.wheel.begin(ticks(now));
        }
        self.live += 1;
        if is_embryonic {
            self.embryonic += 1;
            self.wheel.append(&mut self.records, number, EMBRYONIC);
        } else {
            self.wheel.arm(&mut self.records, number, until);
        }
        Ok(SessionId(number))
    }

    /// What stands for the client in packets to the backend; `None`: an address that is not among the sources.
    fn source_of(&self, outside: &Tuple, inside: &Tuple) -> Option<u16> {
        if inside.source.address == outside.source.address {
            return Some(CLIENT);
        }
        self.sources.binary_search(&inside.source.address).ok().and_then(|place| u16::try_from(place).ok())
    }

    /// As many of them as there may be.
    #[must_use]
    pub fn most_embryonic(&self) -> u32 {
        (self.records.0.len() as u32).div_ceil(EMBRYONIC_SHARE)
    }

    fn record(&self, id: SessionId) -> Option<&Record> {
        self.records.0.get(id.0 as usize).filter(|record| record.protocol != 0)
    }

    /// What is kept of a session.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.record(id).map(|record| &record.session)
    }

    /// The same, to be changed.
    #[must_use]
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let record = self.records.0.get_mut(id.0 as usize).filter(|record| record.protocol != 0);
        record.map(|record| &mut record.session)
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

    /// It is looked at again after this long. For one that is not embryonic: those have their time from the start.
    pub fn touch(&mut self, id: SessionId, timeout: Duration, now: Nanos) {
        let Some(record) = self.records.0.get_mut(id.0 as usize) else { return };
        // The deadline of a free place is a link.
        if record.protocol == 0 || record.links.is_embryonic() {
            return;
        }
        let until = deadline(now, timeout);
        let is_sooner = until.wrapping_sub(record.deadline).cast_signed() < 0;
        record.deadline = until;
        if is_sooner {
            // The ring would look too late.
            self.wheel.take(&mut self.records, id.0);
            self.wheel.arm(&mut self.records, id.0, until);
        }
    }

    /// It is embryonic no longer.
    pub fn establish(&mut self, id: SessionId, timeout: Duration, now: Nanos) {
        let Some(record) = self.records.0.get_mut(id.0 as usize) else { return };
        if !record.links.is_embryonic() {
            return;
        }
        record.deadline = deadline(now, timeout);
        let until = record.deadline;
        self.embryonic -= 1;
        self.wheel.take(&mut self.records, id.0);
        self.wheel.arm(&mut self.records, id.0, until);
    }

    /// Gives a session another way to its backend: packets with the reverse of `inside` are found from now on, and those of the old
    /// one no longer.
    ///
    /// # Errors
    ///
    /// Why it keeps the old one.
    pub fn rebind(&mut self, id: SessionId, inside: &Tuple) -> Result<(), Full> {
        let record = *self.record(id).ok_or(Full::Table)?;
        let (outside, old) = (record.tuple(Side::Client, &self.sources), record.tuple(Side::Backend, &self.sources));
        let source = self.source_of(&outside, inside).ok_or(Full::Taken)?;
        let answer = inside.reversed();
        let key = self.key(&answer);
        if self.find_by(key, &answer).is_some() {
            return Err(Full::Taken);
        }
        let old_key = self.key(&old);
        self.index.remove(old_key, id.0, Side::Backend);
        let (records, sources, hasher) = (&self.records.0, &self.sources, &self.hasher);
        let hash_of = |number: u32, side: Side| {
            let record = records.get(number as usize);
            record.map_or(0, |record| hasher.hash(&record.tuple(side, sources).key()).0)
        };
        if !self.index.insert(key, id.0, Side::Backend, hash_of) {
            // Its own place became free a moment ago.
            let _ = self.index.insert(old_key, id.0, Side::Backend, hash_of);
            return Err(Full::Table);
        }
        if let Some(record) = self.records.0.get_mut(id.0 as usize) {
            record.source = source;
            record.backend = inside.destination.address.to_be_bytes();
            (record.ports[2], record.ports[3]) = (inside.source.port, inside.destination.port);
        }
        Ok(())
    }

    /// Takes a session out; its tuples, outside and inside, and what was kept of it.
    pub fn remove(&mut self, id: SessionId) -> Option<(Tuple, Tuple, Session)> {
        let record = *self.record(id)?;
        let (outside, answer) = (record.tuple(Side::Client, &self.sources), record.tuple(Side::Backend, &self.sources));
        self.index.remove(self.key(&outside), id.0, Side::Client);
        self.index.remove(self.key(&answer), id.0, Side::Backend);
        if record.links.is_embryonic() {
            self.embryonic -= 1;
        }
        self.wheel.take(&mut self.records, id.0);
        if let Some(record) = self.records.0.get_mut(id.0 as usize) {
            record.protocol = 0;
            record.deadline = self.free;
            self.free = id.0;
        }
        self.live -= 1;
        Some((outside, answer.reversed(), record.session))
    }

    /// The session that has been embryonic for longest.
    #[must_use]
    pub fn oldest_embryonic(&self) -> Option<SessionId> {
        self.wheel.oldest_embryonic().map(SessionId)
    }

    /// A session whose time is over; looks at `budget` of them at most, and counts it down.
    pub fn next_expired(&mut self, now: Nanos, budget: &mut u32) -> Option<SessionId> {
        if self.live == 0 {
            return None;
        }
        let tick = ticks(now);
        let is_over = |record: &Record| tick.wrapping_sub(record.deadline).cast_signed() >= 0;
        let oldest = self.oldest_embryonic().filter(|id| self.record(*id).is_some_and(is_over));
        if oldest.is_some() && *budget > 0 {
            *budget -= 1;
            return oldest;
        }
        while *budget > 0 {
            let number = self.wheel.next_at(tick)?;
            *budget -= 1;
            let until = self.records.0.get(number as usize)?.deadline;
            if tick.wrapping_sub(until).cast_signed() >= 0 {
                return Some(SessionId(number));
            }
            self.wheel.take(&mut self.records, number);
            self.wheel.arm(&mut self.records, number, until);
        }
        None
    }
}
