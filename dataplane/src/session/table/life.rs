//! Sessions come into the table, are kept in it, and go.

use super::{CLIENT, Full, Kept, Record, Removed, Sessions, deadline, hashes, patience, ticks};
use crate::session::record::{Session, SessionId, Side, Tuple, TupleHash};
use crate::session::tcp::EMBRYONIC as EMBRYONIC_TIME;
use crate::session::wheel::{EMBRYONIC, NONE, TICK_MILLIS};
use crate::time::Nanos;
use std::time::Duration;

/// How much later an embryonic session must be over for its place among them to be worth a change.
const RENEWED_AFTER: Duration = Duration::from_secs(2);

impl Sessions {
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
        life: (bool, Duration),
        now: Nanos,
    ) -> Result<SessionId, Full> {
        self.has_room(life.0)?;
        let answer = inside.reversed();
        let hashes = [outside, &answer].map(|tuple| tuple.hash(&self.hasher));
        if self.find_hashed(outside, hashes[0]).is_some() || self.find_hashed(&answer, hashes[1]).is_some() {
            return Err(Full::Taken);
        }
        self.insert_hashed((outside, inside), hashes, session, life, now)
    }

    /// [`Sessions::insert`] where it is known that no session has the tuples of the client's and of the backend's packets, and their
    /// hashes are.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn insert_hashed(
        &mut self,
        (outside, inside): (&Tuple, &Tuple),
        [outside_hash, answer_hash]: [TupleHash; 2],
        session: Session,
        (is_embryonic, timeout): (bool, Duration),
        now: Nanos,
    ) -> Result<SessionId, Full> {
        self.has_room(is_embryonic)?;
        let number = self.free;
        let Some(source) = self.source_of(outside, inside) else { return Err(Full::Taken) };
        debug_assert!(
            self.find(outside).is_none() && self.find(&inside.reversed()).is_none(),
            "two sessions of one tuple"
        );
        let keys = [outside_hash, answer_hash].map(|hash| self.key(hash));
        let hash_of = hashes(&self.records, &self.sources, &self.hasher);
        if !self.index.insert(keys[0], number, Side::Client, hash_of) {
            return Err(Full::Table);
        }
        if !self.index.insert(keys[1], number, Side::Backend, hash_of) {
            self.index.remove(keys[0], number, Side::Client);
            return Err(Full::Table);
        }
        let place = number as usize;
        let (Some(record), Some(kept)) = (self.records.get_mut(place), self.kept.0.get_mut(place)) else {
            return Err(Full::Table);
        };
        self.free = record.deadline;
        let next = self.free;
        let until = deadline(now, timeout);
        *record = Record {
            client: outside.source.address,
            vip: outside.destination.address,
            source,
            backend: inside.destination.address,
            ports: [outside.source.port, outside.destination.port, inside.source.port, inside.destination.port],
            deadline: until,
            protocol: outside.protocol,
        };
        kept.session = session;
        kept.patience = patience(timeout);
        if self.live == 0 {
            self.wheel.begin(ticks(now));
        }
        self.live += 1;
        if is_embryonic {
            self.embryonic += 1;
            self.wheel.append(&mut self.kept, number, EMBRYONIC);
        } else {
            self.wheel.arm(&mut self.kept, number, until);
        }
        // The next one goes there, a while after this one.
        self.prefetch_session(next);
        Ok(SessionId(number))
    }

    fn has_room(&self, is_embryonic: bool) -> Result<(), Full> {
        if self.free == NONE {
            Err(Full::Table)
        } else if is_embryonic && self.embryonic >= self.most_embryonic {
            Err(Full::Embryonic)
        } else {
            Ok(())
        }
    }

    /// What stands for the client in packets to the backend; `None`: an address that is not among the sources.
    pub(super) fn source_of(&self, outside: &Tuple, inside: &Tuple) -> Option<u16> {
        if inside.source.address == outside.source.address {
            return Some(CLIENT);
        }
        self.sources.binary_search(&inside.source.address).ok().and_then(|place| u16::try_from(place).ok())
    }

    /// It is looked at again after this long; once it `is_established` it is embryonic no longer. One that is has its time from the
    /// start.
    #[inline]
    pub fn touch(&mut self, id: SessionId, (is_established, timeout): (bool, Duration), now: Nanos) {
        let place = id.0 as usize;
        let (Some(record), Some(kept)) = (self.records.get_mut(place), self.kept.0.get_mut(place)) else { return };
        let was_embryonic = kept.links.is_embryonic();
        // The deadline of a free place is a link.
        if record.protocol == 0 || was_embryonic && !is_established {
            return;
        }
        kept.patience = patience(timeout);
        let until = deadline(now, timeout);
        let is_sooner = until.wrapping_sub(record.deadline).cast_signed() < 0;
        record.deadline = until;
        if was_embryonic {
            self.embryonic -= 1;
        }
        // Else the ring would look too late.
        if was_embryonic || is_sooner {
            self.wheel.take(&mut self.kept, id.0);
            self.wheel.arm(&mut self.kept, id.0, until);
        }
    }

    /// An embryonic session was answered once more: it has the time of a new one, and others give way before it. Nothing changes
    /// for a moment's sake.
    pub fn renew(&mut self, id: SessionId, now: Nanos) {
        let place = id.0 as usize;
        let (Some(record), Some(kept)) = (self.records.get_mut(place), self.kept.0.get(place)) else { return };
        let until = deadline(now, EMBRYONIC_TIME);
        let is_soon = until.wrapping_sub(record.deadline) < (RENEWED_AFTER.as_millis() as u64 / TICK_MILLIS) as u32;
        if record.protocol == 0 || !kept.links.is_embryonic() || is_soon {
            return;
        }
        record.deadline = until;
        self.wheel.take(&mut self.kept, id.0);
        self.wheel.append(&mut self.kept, id.0, EMBRYONIC);
    }

    /// Takes a session out.
    pub fn remove(&mut self, id: SessionId) -> Option<Removed> {
        let record = self.record(id)?;
        let (outside, answer) = (record.tuple(Side::Client, &self.sources), record.tuple(Side::Backend, &self.sources));
        let Kept { session, links, .. } = *self.kept.0.get(id.0 as usize)?;
        let hashes = self.hashes_of(id.0, [&outside, &answer]);
        self.forget_ahead(id);
        let keys = hashes.map(|hash| self.key(hash));
        keys.iter().for_each(|key| self.index.prefetch(*key));
        self.index.remove(keys[0], id.0, Side::Client);
        self.index.remove(keys[1], id.0, Side::Backend);
        if links.is_embryonic() {
            self.embryonic -= 1;
        }
        self.wheel.take(&mut self.kept, id.0);
        if let Some(record) = self.records.get_mut(id.0 as usize) {
            record.protocol = 0;
            record.deadline = self.free;
            self.free = id.0;
        }
        self.live -= 1;
        Some(Removed { outside, inside: answer.reversed(), answer: hashes[1], session })
    }
}
