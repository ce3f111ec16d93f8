//! Whom the packets of a burst belong to: their memory is asked for together, and waited for once.

use super::Sessions;
use crate::hash::{FlowHash, FlowKey};
use crate::port::BURST;
use crate::prefetch::prefetch;
use crate::session::record::{SessionId, Side, Tuple, TupleHash};
use crate::session::wheel::{Linked, NONE};
use arrayvec::ArrayVec;

/// What the session of a packet is looked for by, and which one it may be.
#[derive(Clone, Copy, Debug)]
pub struct Looked {
    /// The packet's.
    pub tuple: Tuple,
    /// The tuple's.
    pub hash: TupleHash,
    /// By the index alone, when the burst came.
    candidate: Option<(u32, Side)>,
}

impl Looked {
    /// What stands where no packet was looked for.
    pub const NOTHING: Self = Self { tuple: Tuple::NOTHING, hash: TupleHash(0), candidate: None };
}

impl Sessions {
    /// Begins to look for the sessions of the packets of a burst: each is given with its place and [`Tuple::key`] of its tuple, and what
    /// is found out is written to its place. Asks for the cache lines of the index; once there was something else to do,
    /// [`Sessions::prefetch_looked`] asks for those of the sessions. Returns the places.
    pub fn look_up(
        &self,
        packets: impl Iterator<Item = (usize, Tuple, FlowKey)>,
        looked: &mut [Looked; BURST],
    ) -> ArrayVec<usize, BURST> {
        let mut places = ArrayVec::<usize, BURST>::new();
        let mut keys = ArrayVec::<FlowKey, BURST>::new();
        for (place, tuple, key) in packets.take(BURST) {
            if let Some(looked) = looked.get_mut(place) {
                (looked.tuple, looked.candidate) = (tuple, None);
                places.push(place);
                keys.push(key);
            }
        }
        let mut hashes = [FlowHash::default(); BURST];
        self.hasher.hash_burst(&keys, &mut hashes);
        for (place, hash) in places.iter().zip(&hashes) {
            if let Some(looked) = looked.get_mut(*place) {
                looked.hash = TupleHash(hash.0);
                self.prefetch_hashed(looked.hash);
            }
        }
        places
    }

    /// Asks for the sessions that the packets at these places may belong to, by [`Sessions::look_up`].
    pub fn prefetch_looked(&self, places: &[usize], looked: &mut [Looked; BURST]) {
        for place in places {
            let Some(looked) = looked.get_mut(*place) else { continue };
            // The first that it may be: others are seldom, and looked for when that is not it.
            looked.candidate = self.index.find(self.key(looked.hash), |_, _| true);
            if let Some((number, _)) = looked.candidate {
                self.prefetch_session(number);
            }
        }
        // The next ones begin here.
        self.prefetch_session(self.free);
    }

    /// [`Sessions::find`] for a packet that was looked for with its burst: another one of the burst may have begun the session since,
    /// or ended it.
    #[inline]
    #[must_use]
    pub fn find_looked(&self, looked: &Looked) -> Option<(SessionId, Side)> {
        if let Some((number, side)) = looked.candidate
            && self.is_of(number, side, &looked.tuple)
        {
            return Some((SessionId(number), side));
        }
        self.find_hashed(&looked.tuple, looked.hash)
    }

    /// Whether a session has this tuple on this side.
    #[inline]
    pub(super) fn is_of(&self, number: u32, side: Side, tuple: &Tuple) -> bool {
        self.records.get(number as usize).is_some_and(|record| record.tuple(side, &self.sources) == *tuple)
    }

    /// Asks for the cache lines where a tuple with this hash is entered.
    #[inline]
    pub fn prefetch_hashed(&self, hash: TupleHash) {
        self.index.prefetch(self.key(hash));
    }

    /// Asks for the cache lines of a session.
    #[inline]
    pub(super) fn prefetch_session(&self, number: u32) {
        if let (Some(record), Some(kept)) = (self.records.get(number as usize), self.kept.0.get(number as usize)) {
            prefetch(record);
            // It lies in two lines, mostly.
            prefetch(&kept.session);
            prefetch(&kept.links);
        }
    }
}

/// Those that end.
impl Sessions {
    /// Asks for the memory of those who are looked at after a session: of the next one, which is here already, for what its end
    /// takes; of the one after it for the session.
    pub(super) fn look_ahead(&mut self, number: u32) {
        let next = self.kept.links(number).map_or(NONE, |links| links.next());
        let after = self.kept.links(next).map_or(NONE, |links| links.next());
        self.prefetch_session(after);
        let hashes = self.record(SessionId(next)).map(|record| {
            [Side::Client, Side::Backend].map(|side| record.tuple(side, &self.sources).hash(&self.hasher))
        });
        for hash in hashes.into_iter().flatten() {
            self.prefetch_hashed(hash);
        }
        self.ahead = [self.ahead[1], hashes.map(|hashes| (next, hashes))];
    }

    /// The hash of the tuple of the backend's packets of the session that is looked at after the last one.
    #[must_use]
    pub fn next_answer(&self) -> Option<TupleHash> {
        self.ahead[1].map(|(_, [_, answer])| answer)
    }

    /// The hashes of a session's tuples, client's and backend's.
    pub(super) fn hashes_of(&self, number: u32, tuples: [&Tuple; 2]) -> [TupleHash; 2] {
        let known = self.ahead.iter().flatten().find(|(of, _)| *of == number);
        known.map_or_else(|| tuples.map(|tuple| tuple.hash(&self.hasher)), |(_, hashes)| *hashes)
    }

    /// What was found out about a session is true no longer.
    pub(super) fn forget_ahead(&mut self, id: SessionId) {
        for ahead in &mut self.ahead {
            *ahead = ahead.filter(|(number, _)| *number != id.0);
        }
    }
}
