//! What a pool knows of its slots beside the table, while any of them is special.

use super::rule::{Rule, Rules};
use crate::ids::BackendId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The phase of a slot: see [`crate::consistency`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// No change concerns it.
    #[default]
    Steady,
    /// A planned change waits until SYNs that are under way were answered.
    Armed,
    /// New flows go to current, those from before to the base.
    Transition,
    /// All flows that differ from current have pins; workers do not all know it yet.
    Folded,
    /// Pins that differ still live.
    Look,
    /// Every flow has a pin, always: `tracking = "always"`.
    Always,
}

/// The base and the phase of one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Pool-local index of the backend of flows from before.
    pub base: u16,
    /// The phase.
    pub phase: Phase,
}

/// What decisions ask about a backend: in this snapshot, not whether it is dead. So the panic threshold makes pins to
/// failing backends valid again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub id: BackendId,
    /// Whether a pin to it counts.
    pub eligible: bool,
    /// Whether a base that names it counts: after a return one generation later than pins. A flow that begins meanwhile at a
    /// worker that knows of the return must not be sent back by one that does not.
    pub as_base: bool,
}

/// Slots by number: workers put some in, the control side takes them out.
#[derive(Debug, Default)]
pub struct SlotSet(Box<[AtomicU64]>);

impl SlotSet {
    /// An empty set of slots below `size`.
    #[must_use]
    pub fn new(size: u32) -> Self {
        Self((0..size.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Puts a slot in.
    pub fn insert(&self, slot: u32) {
        if let Some(word) = self.0.get(slot as usize / 64) {
            word.fetch_or(1 << (slot % 64), Relaxed);
        }
    }

    /// Takes a slot out; whether it was in.
    pub fn take(&self, slot: u32) -> bool {
        let bit = 1 << (slot % 64);
        self.0.get(slot as usize / 64).is_some_and(|word| word.fetch_and(!bit, Relaxed) & bit != 0)
    }
}

/// The side array of a pool with special slots, and what decisions about them need.
#[derive(Debug)]
pub struct Special {
    /// By slot; empty: every one is [`Phase::Always`].
    sides: Box<[Side]>,
    /// By pool-local index.
    members: Box<[Member]>,
    /// Pool-local indices by id, from the lowest id on; `u16::MAX`: not of this pool.
    indices: Box<[u16]>,
    /// The same of backends to which a pin counts.
    eligible: Box<[u16]>,
    first_id: u16,
    /// Slots of the table.
    size: u32,
    /// T in ticks, and the longest of all pools.
    pub(super) idle: u16,
    pub(super) longest_idle: u16,
    /// Tells the pins of this pool's flows from those of other pools.
    pub(super) salt: u32,
    /// Slots in which an insertion failed.
    pub(super) failed: Arc<SlotSet>,
    pub(super) rules: Rules,
    /// Whether any slot is in [`Phase::Look`].
    looks: bool,
}

/// What [`Special`] is made of.
#[derive(Debug, Default)]
pub struct Parts {
    /// Slots of the table.
    pub size: u32,
    /// By slot; empty: every one is [`Phase::Always`].
    pub sides: Box<[Side]>,
    /// By pool-local index.
    pub members: Box<[Member]>,
    /// T in ticks of the pins' clock.
    pub idle: u16,
    /// The longest T of all pools.
    pub longest_idle: u16,
    /// Different for each pool.
    pub salt: u32,
    /// Where slots go in which an insertion failed.
    pub failed: Arc<SlotSet>,
    /// Which rules hold.
    pub rules: Rules,
}

impl From<Parts> for Special {
    fn from(parts: Parts) -> Self {
        let Parts { size, sides, members, idle, longest_idle, salt, failed, rules } = parts;
        let ids = || members.iter().map(|member| member.id.0);
        let (first_id, last_id) = (ids().min().unwrap_or(0), ids().max().unwrap_or(0));
        let by_id = |counts: fn(&Member) -> bool| {
            let mut indices = vec![u16::MAX; usize::from(last_id - first_id) + 1];
            for (index, member) in (0..).zip(&members).filter(|(_, member)| counts(member)) {
                indices[usize::from(member.id.0 - first_id)] = index;
            }
            indices.into()
        };
        let (indices, eligible) = (by_id(|_| true), by_id(|member| member.eligible));
        let looks = sides.iter().any(|side| side.phase == Phase::Look);
        Self { sides, members, indices, eligible, first_id, size, idle, longest_idle, salt, failed, rules, looks }
    }
}

impl Special {
    /// Base and phase of a slot.
    #[inline]
    #[must_use]
    pub fn side(&self, slot: u32) -> Side {
        let always = Side { base: u16::MAX, phase: Phase::Always };
        self.sides.get(slot as usize).copied().unwrap_or(always)
    }

    /// Whether any slot is in [`Phase::Look`].
    #[inline(always)]
    pub(crate) const fn looks(&self) -> bool {
        self.looks
    }

    /// The pool-local index of a backend; `None` if it is not of this pool.
    #[inline]
    #[must_use]
    pub fn index(&self, id: BackendId) -> Option<u16> {
        let place = usize::from(id.0.checked_sub(self.first_id)?);
        self.indices.get(place).copied().filter(|index| *index != u16::MAX)
    }

    /// The same; `None` also if a pin to it does not count.
    #[inline(always)]
    pub(super) fn eligible(&self, id: BackendId) -> Option<u16> {
        let place = usize::from(id.0.wrapping_sub(self.first_id));
        self.eligible.get(place).copied().filter(|index| *index != u16::MAX)
    }

    /// Whether a base that names this backend counts.
    #[inline]
    #[must_use]
    pub fn is_base(&self, index: u16) -> bool {
        self.members.get(usize::from(index)).is_some_and(|member| member.as_base)
    }

    /// Whether a pin to this backend counts.
    #[inline]
    #[must_use]
    pub fn is_eligible(&self, index: u16) -> bool {
        self.members.get(usize::from(index)).is_some_and(|member| member.eligible)
    }

    #[inline]
    pub(super) fn id(&self, index: u16) -> Option<BackendId> {
        self.members.get(usize::from(index)).map(|member| member.id)
    }

    /// The slot of the flows with this tag.
    pub(super) const fn slot_of(&self, tag: u32) -> u32 {
        crate::hash::FlowHash(tag as u128).slot(self.size)
    }

    /// What tells the pins of this pool's flows from those of other pools.
    #[inline]
    #[must_use]
    pub const fn salt(&self) -> u32 {
        if self.rules.hold(Rule::OwnPoolOnly) { self.salt } else { 0 }
    }

    /// Which rules hold.
    #[inline]
    #[must_use]
    pub const fn rules(&self) -> Rules {
        self.rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_id() {
        let member = |id, eligible| Member { id: BackendId(id), eligible, as_base: eligible };
        let members = [member(700, true), member(12, false), member(59_999, true)].into();
        let special = Special::from(Parts { members, ..Parts::default() });
        let found = [700, 12, 59_999, 11, 13, 60_000, 0].map(|id| special.index(BackendId(id)));
        assert_eq!(found, [Some(0), Some(1), Some(2), None, None, None, None]);
        assert_eq!([0, 1, 2, 3].map(|index| special.is_eligible(index)), [true, false, true, false]);
        assert_eq!(special.side(5).phase, Phase::Always);
        assert_eq!(Special::from(Parts::default()).index(BackendId(0)), None);
    }

    #[test]
    fn a_slot_is_taken_once() {
        let set = SlotSet::new(65);
        set.insert(64);
        set.insert(1_000);
        assert!(!set.take(63) && set.take(64) && !set.take(64) && !set.take(1_000));
    }
}
