//! Which of several services a flow is for: evenly, or as Zipf's law has it.

/// How flows are spread over services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spreading {
    /// Each gets the same share.
    #[default]
    Uniform,
    /// The share of the k-th is proportional to 1/k (Zipf's law with exponent 1).
    Zipf,
}

/// A table that turns a number into the service of that flow, in two steps whatever the shares (the alias method: Vose, "A
/// Linear Algorithm for Generating Random Numbers with a Given Distribution", IEEE TSE 1991).
#[derive(Clone, Debug)]
pub struct Mix(Box<[Column]>);

/// A part of the numbers: those below `bound` in it are for its own service, the others for another one.
#[derive(Clone, Copy, Debug)]
struct Column {
    bound: u32,
    other: u16,
}

impl Mix {
    /// A mix of `services` (1 at least) services.
    #[must_use]
    pub fn new(services: u16, spreading: Spreading) -> Self {
        let count = usize::from(services.max(1));
        let weight = |rank: usize| match spreading {
            Spreading::Uniform => 1.0,
            Spreading::Zipf => 1.0 / (rank + 1) as f64,
        };
        let total: f64 = (0..count).map(weight).sum();
        // In units of a column's height: less than one leaves room for somebody else, more needs it.
        let mut heights: Vec<f64> = (0..count).map(|rank| weight(rank) / total * count as f64).collect();
        let mut columns = vec![Column { bound: u32::MAX, other: 0 }; count];
        let (mut low, mut high): (Vec<usize>, Vec<usize>) = (0..count).partition(|rank| heights[*rank] < 1.0);
        while let (Some(small), Some(large)) = (low.pop(), high.pop()) {
            columns[small] = Column { bound: (heights[small] * 2_f64.powi(32)) as u32, other: large as u16 };
            heights[large] -= 1.0 - heights[small];
            if heights[large] < 1.0 { low.push(large) } else { high.push(large) }
        }
        for rank in low.into_iter().chain(high) {
            columns[rank].other = rank as u16;
        }
        Self(columns.into())
    }

    /// How many services there are.
    #[must_use]
    pub const fn services(&self) -> usize {
        self.0.len()
    }

    /// The service of a flow: the same for the same flow.
    #[inline]
    #[must_use]
    pub fn of(&self, flow: u32) -> u16 {
        // Neighbouring flows are to differ, in the column and in the place in it.
        let bits = (u64::from(flow) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let column = (((bits >> 32) * self.0.len() as u64) >> 32) as usize;
        match self.0.get(column) {
            Some(Column { bound, other }) if bits as u32 >= *bound => *other,
            _ => column as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(mix: &Mix, flows: u32) -> Vec<f64> {
        let mut counts = vec![0_u32; mix.services()];
        (0..flows).for_each(|flow| counts[usize::from(mix.of(flow))] += 1);
        counts.into_iter().map(|count| f64::from(count) / f64::from(flows)).collect()
    }

    #[test]
    fn shares_are_as_promised() {
        let uniform = shares(&Mix::new(1_000, Spreading::Uniform), 1_000_000);
        assert!(uniform.iter().all(|share| (0.000_8..0.001_2).contains(share)), "{uniform:?}");
        let zipf = shares(&Mix::new(1_000, Spreading::Zipf), 1_000_000);
        let harmonic: f64 = (1..=1_000).map(|rank| 1.0 / f64::from(rank)).sum();
        for (rank, share) in (1..).zip(&zipf) {
            let expected = 1.0 / f64::from(rank) / harmonic;
            let tolerance = 5.0 * (expected / 1e6_f64).sqrt();
            assert!((share - expected).abs() < tolerance, "rank {rank}: {share}, expected {expected}");
        }
        assert_eq!(shares(&Mix::new(1, Spreading::Zipf), 10), [1.0]);
        assert_eq!(Mix::new(0, Spreading::Uniform).services(), 1);
    }
}
