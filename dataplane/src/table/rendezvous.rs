//! Weighted rendezvous: which eligible backend takes over a slot.

use super::Slot;
use super::maglev::Member;

/// Fraction bits of a logarithm.
const FRACTION_BITS: u32 = 48;

/// The eligible backends, by weight.
pub(super) struct Rendezvous {
    /// Heaviest first.
    classes: Vec<Class>,
}

/// The backends of one weight. Among them the highest score wins, whatever the weight is.
struct Class {
    weight: u32,
    /// In order of names.
    members: Vec<Contender>,
}

struct Contender {
    lo: u64,
    hi: u64,
    slot: Slot,
}

/// A class's best for a slot.
struct Winner {
    cost: u64,
    weight: u32,
    slot: Slot,
}

impl Rendezvous {
    /// `members` in order of names, all of weight above 0.
    pub(super) fn new(members: impl Iterator<Item = Member>) -> Self {
        let mut members: Vec<_> = members.collect();
        // Stable: within a class the order of names stays.
        members.sort_by_key(|member| std::cmp::Reverse(member.weight));
        let classes = members
            .chunk_by(|a, b| a.weight == b.weight)
            .map(|class| Class {
                weight: class[0].weight,
                members: class
                    .iter()
                    .map(|m| Contender { lo: m.digest as u64, hi: (m.digest >> 64) as u64, slot: Slot::new(m.index) })
                    .collect(),
            })
            .collect();
        Self { classes }
    }

    /// The backend that ranks highest for the slot of this digest; [`Slot::EMPTY`] if there is none.
    pub(super) fn owner(&self, slot_digest: u128) -> Slot {
        let (lo, hi) = (slot_digest as u64, (slot_digest >> 64) as u64);
        if let [class] = &*self.classes {
            return class.highest(lo, hi).1;
        }
        let mut best: Option<Winner> = None;
        for class in &self.classes {
            let (score, slot) = class.highest(lo, hi);
            let beaten = best.as_ref().is_some_and(|best| {
                // Logarithms are slow; most classes fall to the bound already.
                !best.loses_to(cost_bound(score), class.weight) || !best.loses_to(cost(score), class.weight)
            });
            if !beaten {
                best = Some(Winner { cost: cost(score), weight: class.weight, slot });
            }
        }
        best.map_or(Slot::EMPTY, |best| best.slot)
    }
}

impl Class {
    /// The highest score for a slot and whose it is; of equals the first by name.
    #[inline]
    fn highest(&self, lo: u64, hi: u64) -> (u64, Slot) {
        let mut best = (0, self.members.first().map_or(Slot::EMPTY, |first| first.slot));
        for member in &self.members {
            let score = fold(member.lo ^ lo, member.hi ^ hi);
            if score > best.0 {
                best = (score, member.slot);
            }
        }
        best
    }
}

impl Winner {
    /// Whether a cost per weight is below this one.
    fn loses_to(&self, cost: u64, weight: u32) -> bool {
        u128::from(cost) * u128::from(self.weight) < u128::from(self.cost) * u128::from(weight)
    }
}

/// The product's upper half xor its lower half.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// `-log2(score / 2^64)` with [`FRACTION_BITS`]; a score of 0 counts as 1.
///
/// The logarithm of the score comes digit by digit: the mantissa, 63 fraction bits, is squared and rounded down; if it
/// reaches 2 it is halved, rounded down again, and the digit is 1. So the logarithm is never above the true one, the
/// cost never below, and a higher score never costs more.
fn cost(score: u64) -> u64 {
    let score = score.max(1);
    let mut mantissa = score << score.leading_zeros();
    let mut log = u64::from(score.ilog2());
    for _ in 0..FRACTION_BITS {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let digit = (square >> 64) as u64;
        mantissa = (square >> digit) as u64;
        log = log << 1 | digit;
    }
    (64 << FRACTION_BITS) - log
}

/// A bound that [`cost`] never falls below: `-log2(u) >= (1 - u) * log2(e)`, and 23/16 is less than log2(e).
fn cost_bound(score: u64) -> u64 {
    ((u128::from(!score) * 23) >> (4 + 64 - FRACTION_BITS)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of every magnitude, and both ends.
    fn scores() -> impl Iterator<Item = u64> {
        let mix = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let spread = (0..10_000).map(move |i| mix(i) >> (i % 64));
        spread.chain((0..10_000).map(move |i| !(mix(i) >> (i % 64)))).chain([0, 1, 2, u64::MAX])
    }

    #[test]
    fn costs_are_logarithms() {
        for score in scores() {
            let fraction_of_2_64 = score.max(1) as f64 / 2_f64.powi(64);
            let expected = -fraction_of_2_64.log2();
            let got = cost(score) as f64 / 2_f64.powi(48);
            assert!((got - expected).abs() < 1e-12 * (1.0 + expected), "{score}: {got} for {expected}");
        }
    }

    #[test]
    fn a_higher_score_never_costs_more() {
        let mut sorted: Vec<_> = scores().collect();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| cost(pair[0]) >= cost(pair[1])));
    }

    #[test]
    fn the_bound_is_one() {
        assert!(scores().all(|score| cost_bound(score) <= cost(score)));
    }
}
