//! Where packets of a backend leave: one next hop, or several that share by flow.

use super::link::Link;
use crate::hash::FlowHash;
use crate::ids::PortId;
use crate::wire::ethernet::Mac;
use crate::wire::vlan::Tags;

/// Where packets leave, and to whom on that wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The port.
    pub egress: PortId,
    /// The port's own hardware address.
    pub source: Mac,
    /// The next hop's hardware address, if it is known. One that is not known, or not to be used, gets no packets.
    pub destination: Option<Mac>,
    /// Largest IP packet that the link carries, in bytes.
    pub mtu: u16,
    /// Tags of the link.
    pub tags: Tags,
}

/// Entries of the table by which flows are spread over several next hops, and the most next hops that can share.
pub const BUCKETS: usize = 64;

/// Stands in a bucket while no next hop is resolved.
const NOBODY: u8 = u8::MAX;

/// The next hops of one backend.
///
/// Of several each takes its share of [`BUCKETS`] buckets (at most one bucket more than another), given out by highest
/// random weight over all of them. The buckets of one that is not resolved go to others by highest random weight among
/// the resolved: so its loss moves no flow but its own, and its return restores what was before.
#[derive(Clone, Debug)]
pub struct Hops(Choice);

#[derive(Clone, Debug)]
enum Choice {
    One(NextHop),
    Many(Box<Shared>),
}

#[derive(Clone, Debug)]
struct Shared {
    hops: Box<[NextHop]>,
    /// Indices into `hops`.
    buckets: [u8; BUCKETS],
}

impl From<NextHop> for Hops {
    fn from(hop: NextHop) -> Self {
        Self(Choice::One(hop))
    }
}

impl Hops {
    /// Next hops with their identities, which must differ: who takes a bucket depends on these and not on the order.
    /// The first [`BUCKETS`] count.
    #[must_use]
    pub fn new(hops: &[(u64, NextHop)]) -> Self {
        if let [(_, hop)] = hops {
            return Self::from(*hop);
        }
        let hops = hops.get(..BUCKETS).unwrap_or(hops);
        let buckets = share(hops);
        Self(Choice::Many(Box::new(Shared { hops: hops.iter().map(|(_, hop)| *hop).collect(), buckets })))
    }

    /// The resolved next hop of a flow; `None` if none is resolved.
    #[inline]
    #[must_use]
    pub fn choose(&self, hash: FlowHash) -> Option<&NextHop> {
        self.of_flow(hash).filter(|hop| hop.destination.is_some())
    }

    /// The next hop of a flow, which is unresolved only if all are.
    #[inline]
    pub(crate) fn of_flow(&self, hash: FlowHash) -> Option<&NextHop> {
        match &self.0 {
            Choice::One(hop) => Some(hop),
            Choice::Many(shared) => shared.of_flow(hash),
        }
    }

    /// The only next hop, if it is resolved and its link has no tags.
    #[inline(always)]
    pub(super) fn plain(&self) -> Option<Link<'_>> {
        match &self.0 {
            Choice::One(hop) if hop.tags.is_empty() => {
                hop.destination.as_ref().map(|destination| Link { hop, destination })
            }
            _ => None,
        }
    }

    /// All of them, as they were given.
    #[must_use]
    pub fn as_slice(&self) -> &[NextHop] {
        match &self.0 {
            Choice::One(hop) => std::slice::from_ref(hop),
            Choice::Many(shared) => &shared.hops,
        }
    }
}

impl Shared {
    // Not inlined: the code of one next hop stays what it would be without this.
    #[inline(never)]
    fn of_flow(&self, hash: FlowHash) -> Option<&NextHop> {
        let bucket = (usize::from(hash.route()) * BUCKETS) >> 16;
        self.hops.get(usize::from(*self.buckets.get(bucket)?))
    }
}

/// Who takes which bucket.
fn share(hops: &[(u64, NextHop)]) -> [u8; BUCKETS] {
    let mut quotas = quotas(hops);
    std::array::from_fn(|bucket| {
        let Some(owner) = highest(hops, bucket, |index| quotas[index] > 0) else { return NOBODY };
        quotas[owner] -= 1;
        let resolved = |index: usize| hops[index].1.destination.is_some();
        let taker = if resolved(owner) { Some(owner) } else { highest(hops, bucket, resolved) };
        taker.map_or(NOBODY, |index| index as u8)
    })
}

/// How many buckets each takes; the lowest identities take what is left over.
fn quotas(hops: &[(u64, NextHop)]) -> Vec<usize> {
    let rank = |id: u64| hops.iter().filter(|(other, _)| *other < id).count();
    let (each, over) = (BUCKETS / hops.len().max(1), BUCKETS % hops.len().max(1));
    hops.iter().map(|(id, _)| each + usize::from(rank(*id) < over)).collect()
}

/// Which of the next hops that may take a bucket has the highest weight for it.
fn highest(hops: &[(u64, NextHop)], bucket: usize, may: impl Fn(usize) -> bool) -> Option<usize> {
    (0..hops.len())
        .filter(|index| may(*index))
        .max_by_key(|index| (weight(hops[*index].0, bucket as u64), hops[*index].0))
}

/// A fixed pseudo-random function of an identity and a bucket: the finalizer of SplitMix64 (Steele, Lea and Flood,
/// OOPSLA 2014), twice.
fn weight(id: u64, bucket: u64) -> u64 {
    mix(mix(id).wrapping_add(bucket))
}

const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn hop(id: u64, resolved: bool) -> (u64, NextHop) {
        let destination = resolved.then_some([2, 0, 0, 0, 0, id as u8]);
        (id, NextHop { egress: PortId(id as u16), source: [0; 6], destination, mtu: 1_500, tags: Tags::NONE })
    }

    /// The port that each bucket leaves by.
    fn table(hops: &[(u64, NextHop)]) -> Vec<Option<u16>> {
        let hops = Hops::new(hops);
        let hash = |bucket: usize| FlowHash((bucket as u128) << 90 | 0xffff_u128 << 64);
        (0..BUCKETS).map(|bucket| hops.choose(hash(bucket)).map(|hop| hop.egress.0)).collect()
    }

    proptest! {
        #[test]
        fn the_loss_of_one_moves_only_its_flows(
            ids in proptest::collection::btree_set(any::<u16>(), 2..12),
            lost in any::<prop::sample::Index>(),
            down in any::<u16>(),
        ) {
            let lost = *lost.get(&ids.iter().copied().collect::<Vec<_>>());
            // Some are down before already.
            let down = |place: usize, id: u16| id != lost && down >> place & 1 == 1;
            let with = |up: bool| {
                let hops = ids.iter().enumerate();
                let hops = hops.map(|(place, id)| hop((*id).into(), !down(place, *id) && (up || *id != lost)));
                table(&hops.collect::<Vec<_>>())
            };
            let others = ids.iter().enumerate().any(|(place, id)| *id != lost && !down(place, *id));
            for (before, after) in with(true).into_iter().zip(with(false)) {
                if before != Some(lost) {
                    prop_assert_eq!(before, after);
                }
                prop_assert_eq!(after.is_some(), others);
                prop_assert_ne!(after, Some(lost));
            }
        }

        #[test]
        fn shares_are_even_and_the_order_does_not_matter(
            ids in proptest::collection::btree_set(any::<u16>(), 1..=BUCKETS),
        ) {
            let mut hops: Vec<_> = ids.iter().map(|id| hop((*id).into(), true)).collect();
            let forwards = table(&hops);
            hops.reverse();
            prop_assert_eq!(&forwards, &table(&hops));
            let share = |id: &u16| forwards.iter().filter(|port| **port == Some(*id)).count();
            let shares: BTreeSet<_> = ids.iter().map(share).collect();
            prop_assert!(shares.last().unwrap() - shares.first().unwrap() <= 1, "{:?}", shares);
        }
    }

    #[test]
    fn what_one_leaves_behind_is_spread_over_the_others() {
        for lost in 0..4 {
            let hops: Vec<_> = (0..4).map(|id| hop(id, id != lost)).collect();
            let table = table(&hops);
            for id in (0..4).filter(|id| *id != lost) {
                let share = table.iter().filter(|port| **port == Some(id as u16)).count();
                assert!((17..=27).contains(&share), "{share} of 64 buckets for one of three");
            }
        }
    }

    #[test]
    fn without_a_resolved_one_there_is_none() {
        for hops in [vec![], vec![hop(1, false)], vec![hop(1, false), hop(2, false)]] {
            assert_eq!(table(&hops), vec![None; BUCKETS]);
        }
    }
}
