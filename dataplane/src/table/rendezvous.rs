//! Weighted rendezvous: which eligible backend takes over a slot.

use super::Slot;
use super::maglev::Member;
use std::cmp::Reverse;
use std::ops::Range;

/// Fraction bits of a logarithm.
const FRACTION_BITS: u32 = 48;

/// Contenders of which only the highest score is kept at first.
const TOGETHER: usize = 4;

/// The eligible backends.
pub(super) struct Rendezvous {
    /// Heaviest first, those of one weight in order of names.
    contenders: Vec<Contender>,
    /// The same by weight.
    classes: Vec<Class>,
}

/// The backends of one weight. Among them the highest score wins, whatever the weight is.
struct Class {
    weight: u32,
    contenders: Range<usize>,
}

struct Contender {
    lo: u64,
    hi: u64,
    slot: Slot,
}

impl Contender {
    #[inline]
    fn score(&self, lo: u64, hi: u64) -> u64 {
        fold(self.lo ^ lo, self.hi ^ hi)
    }
}

/// `cost / weight`, or a bound of it.
#[derive(Clone, Copy)]
struct Price {
    cost: u64,
    weight: u32,
}

impl Price {
    const INFINITE: Self = Self { cost: 1, weight: 0 };

    #[inline]
    fn is_below(self, other: Self) -> bool {
        u128::from(self.cost) * u128::from(other.weight) < u128::from(other.cost) * u128::from(self.weight)
    }
}

impl Rendezvous {
    /// `members` in order of names, all of weight above 0.
    pub(super) fn new(members: impl Iterator<Item = Member>) -> Self {
        let mut members: Vec<_> = members.collect();
        // Stable: within a class the order of names stays.
        members.sort_by_key(|member| Reverse(member.weight));
        let mut end = 0;
        let classes = members
            .chunk_by(|a, b| a.weight == b.weight)
            .map(|class| {
                let start = end;
                end += class.len();
                Class { weight: class[0].weight, contenders: start..end }
            })
            .collect();
        let contenders = members
            .iter()
            .map(|m| Contender { lo: m.digest as u64, hi: (m.digest >> 64) as u64, slot: Slot::new(m.index) })
            .collect();
        Self { contenders, classes }
    }

    /// The backend that ranks highest for the slot of this digest; [`Slot::EMPTY`] if there is none.
    pub(super) fn owner(&self, slot_digest: u128) -> Slot {
        let (lo, hi) = (slot_digest as u64, (slot_digest >> 64) as u64);
        match &*self.classes {
            [] => Slot::EMPTY,
            [class] => highest(self.of(class), lo, hi).slot(lo, hi),
            _ => self.owner_by_bounds(lo, hi).unwrap_or_else(|| self.owner_by_costs(lo, hi)),
        }
    }

    fn of(&self, class: &Class) -> &[Contender] {
        &self.contenders[class.contenders.clone()]
    }

    /// The owner with one logarithm, which is slow: of the class that is cheapest by the bounds. `None` if another
    /// class's bound lies below its cost, so that bounds do not decide; with hundreds of classes that is rare.
    fn owner_by_bounds(&self, lo: u64, hi: u64) -> Option<Slot> {
        let mut best = (Price::INFINITE, Winner { score: 0, among: &[] });
        let mut second = Price::INFINITE;
        for class in &self.classes {
            let winner = highest(self.of(class), lo, hi);
            let bound = Price { cost: cost_bound(winner.score), weight: class.weight };
            if bound.is_below(second) {
                if bound.is_below(best.0) {
                    second = best.0;
                    best = (bound, winner);
                } else {
                    second = bound;
                }
            }
        }
        let (bound, winner) = best;
        Price { cost: cost(winner.score), ..bound }.is_below(second).then(|| winner.slot(lo, hi))
    }

    /// The owner by comparing every class's exact cost.
    fn owner_by_costs(&self, lo: u64, hi: u64) -> Slot {
        let mut best = (Price::INFINITE, Winner { score: 0, among: &[] });
        for class in &self.classes {
            let winner = highest(self.of(class), lo, hi);
            let price = Price { cost: cost(winner.score), weight: class.weight };
            // Of equals the first class stays: the heavier one.
            if price.is_below(best.0) {
                best = (price, winner);
            }
        }
        best.1.slot(lo, hi)
    }
}

/// The highest score of contenders for a slot, and a few of them of which one has it.
#[derive(Clone, Copy)]
struct Winner<'a> {
    score: u64,
    among: &'a [Contender],
}

impl Winner<'_> {
    /// Whose score it is; of equals the first.
    fn slot(self, lo: u64, hi: u64) -> Slot {
        self.among.iter().find(|c| c.score(lo, hi) == self.score).map_or(Slot::EMPTY, |c| c.slot)
    }
}

/// The highest score among contenders for a slot. Who has it is found out for the final winner only: a maximum alone
/// needs no branch.
#[inline]
fn highest(contenders: &[Contender], lo: u64, hi: u64) -> Winner<'_> {
    let mut best = Winner { score: 0, among: contenders };
    let (whole, rest) = contenders.as_chunks::<TOGETHER>();
    for among in whole {
        let score = top_score(among, lo, hi);
        if score > best.score {
            best = Winner { score, among };
        }
    }
    let score = top_score(rest, lo, hi);
    if score > best.score {
        best = Winner { score, among: rest };
    }
    best
}

#[inline]
fn top_score(contenders: &[Contender], lo: u64, hi: u64) -> u64 {
    contenders.iter().map(|c| c.score(lo, hi)).fold(0, u64::max)
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
#[inline]
fn cost_bound(score: u64) -> u64 {
    // The first shift makes room for the product.
    ((!score >> 5) * 23) >> (4 + 64 - FRACTION_BITS - 5)
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
