//! The base table: Maglev with weights.

use super::permutation::{PROBES, Steps, Walker, advance, is_prime};
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
const COMPUTED_TAIL: usize = 384;

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
    size: u32,
    slots: Vec<Slot>,
    /// One bit a slot: small enough for the first-level cache, which the slots themselves are not.
    free: Vec<u64>,
    free_count: usize,
}

impl Filling {
    fn new(size: u32) -> Self {
        let slots = vec![Slot::EMPTY; size as usize];
        let mut free = vec![u64::MAX; slots.len().div_ceil(64)];
        if let Some(last) = free.last_mut() {
            *last >>= (64 - size % 64) % 64;
        }
        Self { size, free_count: slots.len(), slots, free }
    }

    /// Gives out all slots; none if no member has weight.
    fn fill(mut self, members: &[Member]) -> Vec<Slot> {
        if members.iter().all(|member| member.weight == 0) {
            return self.slots;
        }
        let mut walkers: Vec<_> =
            members.iter().map(|member| Walker::new(Slot::new(member.index), member.digest, self.size)).collect();
        let weights: Vec<_> = members.iter().map(|member| member.weight).collect();
        let mut turns = Turns::new(&weights);
        let mut tail = None;
        loop {
            for &backend in turns.next_round() {
                let walker = &mut walkers[usize::from(backend)];
                if self.free_count > COMPUTED_TAIL {
                    self.walk(walker);
                } else {
                    let tail = tail.get_or_insert_with(|| self.free_slots());
                    self.jump(walker, tail);
                }
                if self.free_count == 0 {
                    return self.slots;
                }
            }
        }
    }

    /// Walks along the permutation to the first slot that is free, and takes it.
    #[inline]
    fn walk(&mut self, walker: &mut Walker) {
        // While most slots are free the first probe mostly succeeds, and looking further ahead would be for nothing.
        let mostly_free = self.free_count > self.slots.len() / 2;
        let found = if mostly_free && self.is_free(walker.position) { walker.position } else { self.probe(walker) };
        self.free[found as usize / 64] ^= 1 << (found % 64);
        self.free_count -= 1;
        self.slots[found as usize] = walker.slot;
        walker.position = advance(found, walker.skips[0], self.size);
    }

    #[inline]
    fn is_free(&self, slot: u32) -> bool {
        self.free[slot as usize / 64] >> (slot % 64) & 1 != 0
    }

    /// The first slot from the walker's position on that is free, several probes at a time.
    #[inline]
    fn probe(&self, walker: &Walker) -> u32 {
        let mut probes = [walker.position; PROBES];
        loop {
            for i in 1..PROBES {
                probes[i] = advance(probes[0], walker.skips[i - 1], self.size);
            }
            let mut free = 0;
            for (i, &probe) in probes.iter().enumerate() {
                free |= u32::from(self.is_free(probe)) << i;
            }
            if free != 0 {
                return probes[free.trailing_zeros() as usize % PROBES];
            }
            probes[0] = advance(probes[0], walker.skips[PROBES - 1], self.size);
        }
    }

    /// Takes the same slot as [`walk`](Self::walk): of the free slots the one that is the fewest steps away.
    fn jump(&mut self, walker: &Walker, free: &mut Vec<u32>) {
        let steps = Steps::new(walker, self.size);
        if let Some(nearest) = (0..free.len()).min_by_key(|&i| steps.to(free[i])) {
            self.slots[free.swap_remove(nearest) as usize] = walker.slot;
            self.free_count -= 1;
        }
    }

    fn free_slots(&self) -> Vec<u32> {
        let mut slots = Vec::with_capacity(self.free_count);
        for (first, &word) in (0..).step_by(64).zip(&self.free) {
            let mut word = word;
            while word != 0 {
                slots.push(first + word.trailing_zeros());
                word &= word - 1;
            }
        }
        slots
    }
}
