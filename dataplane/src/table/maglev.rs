//! The base table: Maglev with weights.

use super::permutation::{Circle, Steps, Walker, is_prime};
use super::rendezvous::Rendezvous;
use super::turns::Turns;
use super::{MAX_POOL_BACKENDS, Slot, Table};
use crate::hash::{Domain, FlowHasher};
use std::error::Error;
use std::fmt;

/// The sizes of tables lie below this, so that sums of two slot numbers fit in 32 bits.
const SIZE_LIMIT: u32 = 1 << 31;

/// With so few slots free, the next free slot of a permutation is computed instead of walked to. More than half of all
/// probes would be spent on these last slots. The table is the same for every value; this one was measured.
const COMPUTED_TAIL: usize = 320;

/// Turns that look ahead together are at most this share of the free slots, so that few of them find the same slot.
const AHEAD_SHARE: usize = 8;

/// Fewer turns than this do not look ahead together: it would not pay.
const FEWEST_AHEAD: usize = 8;

/// A backend as the table knows it. Its index in the list that is given to [`BaseTable::build`] is what slots hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableBackend<'a> {
    /// Identity, unique in the pool.
    pub name: &'a str,
    /// Share relative to the others; 0: drained.
    pub weight: u32,
}

/// Why no table was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The size is not a prime below 2^31.
    Size(u32),
    /// There are more than [`MAX_POOL_BACKENDS`] backends: this many.
    TooManyBackends(usize),
    /// Two backends have this name.
    DuplicateName(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "table size {size} is not a prime below 2147483648"),
            Self::TooManyBackends(count) => {
                write!(f, "{count} backends in one pool, {MAX_POOL_BACKENDS} is the most")
            }
            Self::DuplicateName(name) => write!(f, "two backends are named {name:?}"),
        }
    }
}

impl Error for BuildError {}

/// One backend, ready to be placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Index in the caller's list.
    pub(super) index: u16,
    /// The effective weight: 1 for everyone if all are drained.
    pub(super) weight: u32,
    /// The keyed digest of the name.
    pub(super) digest: u128,
}

/// The table over all configured backends, and what is needed to move the slots of those that are not eligible.
#[derive(Clone, Debug)]
pub struct BaseTable {
    table: Table,
    /// In order of names.
    members: Vec<Member>,
    hasher: FlowHasher,
}

impl BaseTable {
    /// Builds the table of `size` slots over `backends`, whose order does not matter beyond the indices that slots
    /// hold. Without backends all slots are empty.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `size` is not a prime below 2^31, a name occurs twice, or there are too many backends.
    pub fn build(backends: &[TableBackend<'_>], hasher: &FlowHasher, size: u32) -> Result<Self, BuildError> {
        if backends.len() > MAX_POOL_BACKENDS {
            return Err(BuildError::TooManyBackends(backends.len()));
        }
        Self::build_of((0..).zip(backends.iter().copied()), hasher, size)
    }

    /// The same over some of a list of backends, each with its index in that.
    ///
    /// # Errors
    ///
    /// As for [`BaseTable::build`].
    pub fn build_of<'b>(
        backends: impl Iterator<Item = (u16, TableBackend<'b>)>,
        hasher: &FlowHasher,
        size: u32,
    ) -> Result<Self, BuildError> {
        if size >= SIZE_LIMIT || !is_prime(size) {
            return Err(BuildError::Size(size));
        }
        let backends: Vec<_> = backends.collect();
        if backends.len() > MAX_POOL_BACKENDS {
            return Err(BuildError::TooManyBackends(backends.len()));
        }
        let members = members(backends, hasher)?;
        let table = Table { slots: Filling::new(size).fill(&members).into() };
        Ok(Self { table, members, hasher: hasher.clone() })
    }

    /// The table as it is while every backend is eligible.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The table while only some backends are eligible: `eligible[i]` for the backend of index `i`, those past the end
    /// of the slice not. Only slots of others than these change owner. If no backend that may serve (of weight above 0,
    /// or of any if all weights are 0) is eligible, all slots are empty.
    #[must_use]
    pub fn with_eligible(&self, eligible: &[bool]) -> Table {
        let is_eligible = |index: usize| eligible.get(index).copied().unwrap_or(false);
        let mut slots = self.table.slots.to_vec();
        let orphans: Vec<u32> =
            (0..).zip(&slots).filter(|(_, owner)| !is_eligible(owner.index())).map(|(slot, _)| slot).collect();
        if !orphans.is_empty() {
            let serving = self.members.iter().filter(|m| m.weight > 0 && is_eligible(usize::from(m.index)));
            let rendezvous = Rendezvous::new(serving.copied());
            self.hasher.slot_digests(&orphans, |slot, digest| slots[slot as usize] = rendezvous.owner(digest));
        }
        Table { slots: slots.into() }
    }
}

/// The backends in order of names, each with its digest and effective weight.
fn members(mut by_name: Vec<(u16, TableBackend<'_>)>, hasher: &FlowHasher) -> Result<Vec<Member>, BuildError> {
    // A stable sort is fast on lists that are in order for the most part, as these are.
    by_name.sort_by_key(|(_, backend)| backend.name);
    if let Some(pair) = by_name.windows(2).find(|pair| pair[0].1.name == pair[1].1.name) {
        return Err(BuildError::DuplicateName(pair[0].1.name.to_owned()));
    }
    let all_drained = by_name.iter().all(|(_, backend)| backend.weight == 0);
    Ok(by_name
        .into_iter()
        .map(|(index, backend)| Member {
            index,
            weight: if all_drained { 1 } else { backend.weight },
            digest: hasher.digest(Domain::BackendName, backend.name.as_bytes()),
        })
        .collect())
}

/// A table in the making.
struct Filling {
    circle: Circle,
    slots: Vec<Slot>,
    /// Whether each slot is free: half the size of the slots, and quicker to look at than bits.
    free: Vec<bool>,
    free_count: usize,
}

/// A member on its way through the slots.
struct Contender {
    walker: Walker,
    slot: Slot,
}

impl Filling {
    fn new(size: u32) -> Self {
        let count = size as usize;
        Self { circle: Circle::new(size), slots: vec![Slot::EMPTY; count], free: vec![true; count], free_count: count }
    }

    /// Gives out all slots; none if no member has weight.
    fn fill(mut self, members: &[Member]) -> Vec<Slot> {
        if members.iter().all(|member| member.weight == 0) {
            return self.slots;
        }
        let contender = |member: &Member| Contender {
            walker: Walker::new(member.digest, &self.circle),
            slot: Slot::new(member.index),
        };
        let mut contenders: Vec<_> = members.iter().map(contender).collect();
        let weights: Vec<_> = members.iter().map(|member| member.weight).collect();
        let mut turns = Turns::new(&weights);
        let count = self.slots.len();
        // The fewer slots are free, the more probes pay together.
        self.walk::<2>(&mut turns, &mut contenders, count / 2);
        self.walk::<4>(&mut turns, &mut contenders, count / 5);
        self.walk::<8>(&mut turns, &mut contenders, COMPUTED_TAIL);
        self.jump(&mut turns, &contenders);
        self.slots
    }

    /// Gives out slots in turns until so many are free: each to the contender that finds it free first on its walk.
    fn walk<const N: usize>(&mut self, turns: &mut Turns, contenders: &mut [Contender], until: usize) {
        let mut looking = Vec::with_capacity(contenders.len());
        while self.free_count > until {
            let most = (self.free_count - until).min(self.free_count.div_ceil(AHEAD_SHARE));
            let turns = turns.next_turns(most);
            if turns.len() >= FEWEST_AHEAD {
                self.look_ahead::<N>(turns, contenders, &mut looking);
            }
            for &backend in turns {
                let Contender { walker, slot } = &mut contenders[usize::from(backend)];
                let mut at = self.circle.slot(walker.position);
                while !self.free[at as usize] {
                    walker.probe::<N>(&self.circle, |slot| self.free[slot as usize]);
                    at = self.circle.slot(walker.position);
                }
                self.free[at as usize] = false;
                self.slots[at as usize] = *slot;
                walker.advance(1);
            }
            self.free_count -= turns.len();
        }
    }

    /// Leads those whose turns come next to slots that are free now. A slot that is taken stays so, hence the order does
    /// not matter here, and the few that find the same one go on when their turns have come. In rounds over those that
    /// still look, without a branch that depends on what one found: mispredicted branches would cost half of the time.
    fn look_ahead<const N: usize>(&self, turns: &[u16], contenders: &mut [Contender], looking: &mut Vec<u16>) {
        looking.clear();
        looking.extend_from_slice(turns);
        let mut left = &mut looking[..];
        while !left.is_empty() {
            let mut kept = 0;
            for i in 0..left.len() {
                let backend = left[i];
                let walker = &mut contenders[usize::from(backend)].walker;
                let found = walker.probe::<N>(&self.circle, |slot| self.free[slot as usize]);
                left[kept] = backend;
                kept += usize::from(!found);
            }
            left = &mut left[..kept];
        }
    }

    /// Gives out what is left to the same contenders as [`walk`](Self::walk): each time of the free slots the one that
    /// is the fewest steps away.
    fn jump(&mut self, turns: &mut Turns, contenders: &[Contender]) {
        let mut free: Vec<u32> = (0..).zip(&self.free).filter(|(_, free)| **free).map(|(slot, _)| slot).collect();
        while !free.is_empty() {
            for &backend in turns.next_turns(free.len()) {
                let Contender { walker, slot } = &contenders[usize::from(backend)];
                let steps = Steps::new(walker, &self.circle);
                if let Some(nearest) = (0..free.len()).min_by_key(|&i| steps.to(free[i])) {
                    self.slots[free.swap_remove(nearest) as usize] = *slot;
                }
            }
        }
    }
}
