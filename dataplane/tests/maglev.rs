//! The table against an oracle straight from the paper, and the laws that it has to keep.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::table::{BaseTable, BuildError, MAX_POOL_BACKENDS, Slot, Table, TableBackend};
use proptest::prelude::*;
use std::cmp::Ordering;

const KEY: [u8; 16] = [7; 16];
const SIZE: u32 = 65_537;

/// A pool in the slow but obvious way.
struct Oracle<'a> {
    key: [u8; 16],
    names: Vec<&'a str>,
    weights: Vec<u128>,
    size: u64,
}

impl<'a> Oracle<'a> {
    fn new(key: [u8; 16], backends: &[TableBackend<'a>], size: u32) -> Self {
        let drained = backends.iter().all(|backend| backend.weight == 0);
        let weight = |backend: &TableBackend<'_>| if drained { 1 } else { u128::from(backend.weight) };
        Self {
            key,
            names: backends.iter().map(|backend| backend.name).collect(),
            weights: backends.iter().map(weight).collect(),
            size: u64::from(size),
        }
    }

    /// Both halves of a digest.
    fn digest(&self, domain: u8, bytes: &[u8]) -> (u64, u64) {
        let mut message = [&[1, 0, 0, domain][..], &(bytes.len() as u64).to_le_bytes(), &[0; 4], bytes].concat();
        message.resize(message.len().next_multiple_of(16), 0);
        let aes = Aes128::new(&self.key.into());
        let state = message.chunks(16).fold([0; 16], |mut state: [u8; 16], block| {
            state.iter_mut().zip(block).for_each(|(s, b)| *s ^= b);
            let mut cipher = state.into();
            aes.encrypt_block(&mut cipher);
            cipher.into()
        });
        let half = |i: usize| u64::from_le_bytes(std::array::from_fn(|j| state[8 * i + j]));
        (half(0), half(1))
    }

    fn name_digests(&self) -> Vec<(u64, u64)> {
        self.names.iter().map(|name| self.digest(2, name.as_bytes())).collect()
    }

    /// Figure "Populate Maglev hashing lookup table" of the paper, with turns by weight.
    fn base(&self) -> Vec<Option<usize>> {
        let mut entry = vec![None; self.size as usize];
        let mut order: Vec<_> = (0..self.names.len()).collect();
        order.sort_by_key(|&i| self.names[i]);
        let permutations: Vec<Vec<u64>> = self
            .name_digests()
            .into_iter()
            .map(|(lo, hi)| {
                let (offset, skip) = (lo % self.size, hi % (self.size - 1) + 1);
                (0..self.size).map(|j| (offset + j * skip) % self.size).collect()
            })
            .collect();
        let mut next = vec![0; self.names.len()];
        let Some(&max) = self.weights.iter().max() else { return entry };
        let mut filled = 0;
        for round in 1.. {
            for &i in &order {
                let turns = round * self.weights[i] / max - (round - 1) * self.weights[i] / max;
                for _ in 0..turns {
                    while entry[permutations[i][next[i]] as usize].is_some() {
                        next[i] += 1;
                    }
                    entry[permutations[i][next[i]] as usize] = Some(i);
                    filled += 1;
                    if filled == self.size {
                        return entry;
                    }
                }
            }
        }
        entry
    }

    /// What is left of the base, and rendezvous for the rest.
    fn with_eligible(&self, eligible: &[bool]) -> Vec<Option<usize>> {
        let digests = self.name_digests();
        let takes_over = |slot: usize| {
            let slot_digest = self.digest(3, &(slot as u32).to_le_bytes());
            let candidates = (0..self.names.len()).filter(|&i| eligible[i] && self.weights[i] > 0);
            let scored: Vec<_> = candidates.map(|i| (i, score(digests[i], slot_digest))).collect();
            scored.into_iter().min_by(|&a, &b| self.rank(a, b)).map(|(i, _)| i)
        };
        let keep = |(slot, owner): (usize, Option<usize>)| owner.filter(|&i| eligible[i]).or_else(|| takes_over(slot));
        self.base().into_iter().enumerate().map(keep).collect()
    }

    /// Which of two backends, each with its score for a slot, comes first there.
    fn rank(&self, (a, score_a): (usize, u64), (b, score_b): (usize, u64)) -> Ordering {
        (cost(score_a) * self.weights[b])
            .cmp(&(cost(score_b) * self.weights[a]))
            .then(self.weights[b].cmp(&self.weights[a]))
            .then(score_b.cmp(&score_a))
            .then(self.names[a].cmp(self.names[b]))
    }
}

/// The product's halves, one xor the other.
fn score((lo, hi): (u64, u64), (slot_lo, slot_hi): (u64, u64)) -> u64 {
    let product = u128::from(lo ^ slot_lo) * u128::from(hi ^ slot_hi);
    product as u64 ^ (product >> 64) as u64
}

/// `-log2(score / 2^64)`, 48 fraction bits, one binary digit after the other.
fn cost(score: u64) -> u128 {
    let score = u128::from(score.max(1));
    let exponent = u128::BITS - 1 - score.leading_zeros();
    let (one, mut x) = (1 << 63, score << 63 >> exponent);
    let mut log = u128::from(exponent);
    for _ in 0..48 {
        x = x * x / one;
        log *= 2;
        if x >= 2 * one {
            log += 1;
            x /= 2;
        }
    }
    64 * (1 << 48) - log
}

fn owners(table: &Table) -> Vec<Option<usize>> {
    assert!(table.slots().iter().all(|slot| !slot.is_special()));
    table.slots().iter().map(|slot| (!slot.is_empty()).then(|| slot.index())).collect()
}

fn build(backends: &[TableBackend<'_>], size: u32) -> BaseTable {
    BaseTable::build(backends, &FlowHasher::new(KEY), size).expect("a valid pool")
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("backend-{i}")).collect()
}

/// Backends of the given weights, repeated over all names.
fn pool<'a>(names: &'a [String], weights: &[u32]) -> Vec<TableBackend<'a>> {
    names.iter().zip(weights.iter().cycle()).map(|(name, &weight)| TableBackend { name, weight }).collect()
}

fn shares(table: &Table, backends: usize) -> Vec<u32> {
    let mut shares = vec![0; backends];
    owners(table).into_iter().flatten().for_each(|i| shares[i] += 1);
    shares
}

fn weights() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(1), 3 => 0..=4_u32, 1 => 90..=110_u32, 1 => any::<u32>()]
}

/// Names, weights and eligibility.
type Pool = Vec<(String, u32, bool)>;

fn pools(backends: std::ops::Range<usize>) -> impl Strategy<Value = Pool> {
    let any_pool = prop::collection::vec(("[a-c]{0,3}[0-9a-z.:]{1,16}", weights(), any::<bool>()), backends.clone());
    let equal_pool = prop::collection::vec(("[0-9a-z]{1,20}", Just(1), any::<bool>()), backends);
    prop_oneof![any_pool, equal_pool].prop_map(|mut pool| {
        let mut seen = std::collections::HashSet::new();
        pool.retain(|(name, ..)| seen.insert(name.clone()));
        pool
    })
}

fn sizes() -> impl Strategy<Value = u32> {
    // Around the number of slots that are left for the computed tail, too.
    prop::sample::select(vec![2, 3, 5, 7, 13, 101, 257, 317, 331, 509, 1_009, 2_003])
}

fn backends(pool: &Pool) -> Vec<TableBackend<'_>> {
    pool.iter().map(|(name, weight, _)| TableBackend { name, weight: *weight }).collect()
}

fn eligible(pool: &Pool) -> Vec<bool> {
    pool.iter().map(|(.., eligible)| *eligible).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tables_equal_the_oracle(key: [u8; 16], pool in pools(0..30), size in sizes()) {
        let oracle = Oracle::new(key, &backends(&pool), size);
        for hasher in [FlowHasher::new(key), FlowHasher::software(key)] {
            let base = BaseTable::build(&backends(&pool), &hasher, size).expect("a valid pool");
            prop_assert_eq!(owners(base.table()), oracle.base());
            prop_assert_eq!(owners(&base.with_eligible(&eligible(&pool))), oracle.with_eligible(&eligible(&pool)));
        }
    }

    #[test]
    fn the_order_of_listing_does_not_matter(pool in pools(1..60), size in sizes(), seed: u64) {
        let mut shuffled = pool.clone();
        shuffled.sort_by_key(|(name, ..)| name.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)));
        let by_name = |pool: &Pool| -> Vec<Option<String>> {
            let table = build(&backends(pool), size).with_eligible(&eligible(pool));
            owners(&table).into_iter().map(|owner| owner.map(|i| pool[i].0.clone())).collect()
        };
        prop_assert_eq!(by_name(&pool), by_name(&shuffled));
    }

    #[test]
    fn whoever_leaves_moves_its_own_slots_only(pool in pools(2..60), size in sizes(), who: prop::sample::Index) {
        let base = build(&backends(&pool), size);
        let mut eligible = eligible(&pool);
        let who = who.index(pool.len());
        eligible[who] = true;
        let before = base.with_eligible(&eligible);
        eligible[who] = false;
        let after = base.with_eligible(&eligible);
        for (old, new) in before.slots().iter().zip(after.slots()) {
            prop_assert!(old.index() == who || old == new);
            prop_assert!(new.index() != who);
        }
        prop_assert_eq!(base.with_eligible(&vec![true; pool.len()]), base.table().clone());
    }
}

#[test]
fn equal_backends_get_equal_shares() {
    let names = names(1_000);
    let shares = shares(build(&pool(&names, &[1]), SIZE).table(), 1_000);
    let (least, most) = (shares.iter().min().copied().unwrap_or(0), shares.iter().max().copied().unwrap_or(0));
    assert!(f64::from(most) / (f64::from(SIZE) / 1_000.0) <= 1.02, "{most}");
    assert!(most - least <= 1, "{least} to {most}");
}

#[test]
fn shares_follow_weights() {
    let names = names(100);
    let shares = shares(build(&pool(&names, &[1, 3]), SIZE).table(), 100);
    for (i, share) in shares.into_iter().enumerate() {
        let fair = f64::from(SIZE) / 200.0 * if i % 2 == 0 { 1.0 } else { 3.0 };
        assert!((f64::from(share) - fair).abs() <= 3.0, "backend {i}: {share} of {fair}");
    }
}

#[test]
fn what_the_dead_leave_is_shared_by_weight() {
    let names = names(100);
    let base = build(&pool(&names, &[1, 3]), SIZE);
    let eligible: Vec<_> = (0..100).map(|i| i >= 50).collect();
    let (before, after) = (shares(base.table(), 100), shares(&base.with_eligible(&eligible), 100));
    let gained = |parity: usize| (50..100).filter(|i| i % 2 == parity).map(|i| after[i] - before[i]).sum::<u32>();
    // 32,768 slots, a quarter of them to the light ones: 8,192 with a standard deviation of 78.
    assert!((7_700..=8_700).contains(&gained(0)), "{}", gained(0));
    assert_eq!(gained(0) + gained(1), before[..50].iter().sum::<u32>());
    // 328 and 983 each; six standard deviations.
    assert!((50..100).all(|i| (if i % 2 == 0 { 218..=438 } else { 795..=1_171 }).contains(&(after[i] - before[i]))));
}

#[test]
fn one_heavy_backend_among_light_ones_is_placed_in_proportion() {
    let names = names(500);
    let mut backends = pool(&names, &[1]);
    backends[250].weight = 100_000;
    let shares = shares(build(&backends, SIZE).table(), 500);
    // Of 65,537 turns, 500 to 1 of 100,000 rounds each: no light backend has one before the table is full.
    assert_eq!(shares[250], SIZE);
    backends[250].weight = 1_000;
    let shares = self::shares(build(&backends, SIZE).table(), 500);
    assert!((0..500).filter(|&i| i != 250).all(|i| (43..=44).contains(&shares[i])));
}

#[test]
fn drained_backends_get_nothing_unless_all_are_drained() {
    let names = names(4);
    let mut backends = pool(&names, &[1]);
    backends[1].weight = 0;
    let base = build(&backends, 1_009);
    assert_eq!(shares(base.table(), 4)[1], 0);
    assert_eq!(shares(&base.with_eligible(&[true, true, false, false]), 4), [1_009, 0, 0, 0]);
    assert!(base.with_eligible(&[false, true, false, false]).is_empty());
    let drained = build(&pool(&names, &[0]), 1_009);
    assert_eq!(drained.table(), build(&pool(&names, &[1]), 1_009).table());
    assert_eq!(shares(&drained.with_eligible(&[false, true, false, false]), 4), [0, 1_009, 0, 0]);
}

#[test]
fn nobody_to_serve_is_an_empty_table() {
    let nobody = build(&[], 13);
    assert!(nobody.table().is_empty() && nobody.with_eligible(&[]).is_empty());
    assert_eq!(nobody.table().size(), 13);
    let names = names(5);
    let base = build(&pool(&names, &[1, 2]), 13);
    assert!(!base.table().is_empty());
    // A slice that is too short names nobody beyond it.
    for eligible in [&[][..], &[false; 5], &[false; 3]] {
        let table = base.with_eligible(eligible);
        assert!(table.is_empty());
        assert!(table.slots().iter().all(|slot| names.get(slot.index()).is_none()));
    }
}

#[test]
fn more_backends_than_slots_serve_in_order_of_names() {
    let names = names(MAX_POOL_BACKENDS);
    let base = build(&pool(&names, &[1]), 101);
    let mut sorted = names.clone();
    sorted.sort();
    let mut serving: Vec<_> = owners(base.table()).into_iter().flatten().map(|i| &names[i]).collect();
    serving.sort();
    assert!(serving.into_iter().eq(&sorted[..101]));
}

#[test]
fn what_cannot_be_built_is_refused() {
    let hasher = FlowHasher::new(KEY);
    for size in [0, 1, 4, 9, 65_536, 65_539 * 3, 2_147_483_659, u32::MAX] {
        assert_eq!(BaseTable::build(&[], &hasher, size).err(), Some(BuildError::Size(size)));
    }
    for size in [2, 3, 65_537] {
        assert!(BaseTable::build(&[], &hasher, size).is_ok());
    }
    let twice = [TableBackend { name: "a", weight: 1 }, TableBackend { name: "a", weight: 2 }];
    assert_eq!(BaseTable::build(&twice, &hasher, 7).err(), Some(BuildError::DuplicateName("a".into())));
    let names = names(MAX_POOL_BACKENDS + 1);
    let error = BaseTable::build(&pool(&names, &[1]), &hasher, 7).err();
    assert_eq!(error, Some(BuildError::TooManyBackends(MAX_POOL_BACKENDS + 1)));
}

/// Fixed for good: another table is another contract, and a fleet of two releases would disagree. A slot is two bytes,
/// little endian, and the sums are CRC-32 as zlib has it.
#[test]
fn golden_tables() {
    let key = std::array::from_fn(|i| i as u8);
    let names = names(100);
    let base = BaseTable::build(&pool(&names, &[100, 100, 50, 1, 0]), &FlowHasher::new(key), SIZE).expect("a pool");
    assert_eq!(crc32(base.table()), 0xf2e1_3c01);
    let eligible: Vec<_> = (0..100).map(|i| i % 7 != 3).collect();
    assert_eq!(crc32(&base.with_eligible(&eligible)), 0x5224_8f49);
}

fn crc32(table: &Table) -> u32 {
    let bytes = table.slots().iter().flat_map(|slot| (slot.index() as u16).to_le_bytes());
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn a_slot_is_an_index_and_a_bit() {
    assert_eq!(size_of::<Slot>(), 2);
    for index in [0, 1, 0x7ffe] {
        let slot = Slot::new(index);
        assert!(!slot.is_special() && !slot.is_empty());
        let special = slot.with_special(true);
        assert!(special.is_special() && !special.is_empty() && special != slot);
        assert_eq!((slot.index(), special.index()), (usize::from(index), usize::from(index)));
        assert_eq!(special.with_special(false), slot);
    }
    for index in [0x7fff, 0x8000, 0xffff] {
        assert_eq!(Slot::new(index), Slot::EMPTY);
    }
    assert!(Slot::EMPTY.is_empty() && !Slot::EMPTY.is_special() && Slot::EMPTY.with_special(true).is_empty());
    assert_eq!(Slot::EMPTY.index(), MAX_POOL_BACKENDS);
}

#[test]
fn a_table_of_given_slots_is_those_slots() {
    let slots: Box<[Slot]> = [Slot::new(3).with_special(true), Slot::EMPTY].into();
    let table = Table::from(slots.clone());
    assert_eq!((table.slots(), table.size()), (&*slots, 2));
}
