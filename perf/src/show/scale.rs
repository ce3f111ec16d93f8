//! Axes: from values to places, and where their ticks are.

/// Values further from zero, or closer to it on a logarithmic axis, are not drawn.
const LARGEST: f64 = 1e100;
/// The fewest ticks that a linear axis strives for.
const TICKS: f64 = 4.0;
/// The most decades that have a tick each.
const MOST_DECADES: i32 = 8;
/// So much of itself does a value vary at least on a linear axis: less is rounding.
const LEAST_RANGE: f64 = 1e-9;

/// An axis that covers some values, from tick to tick.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    logarithmic: bool,
    /// The ends; of a logarithmic axis their decimal logarithms.
    low: f64,
    high: f64,
    /// From tick to tick; of a logarithmic axis in decades.
    step: f64,
}

/// A tick: its value, its place from 0 to 1, and the least distance to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) place: f64,
    pub(super) step: f64,
}

impl Scale {
    /// Covers all `values` that it can draw: finite ones, on a logarithmic axis those above zero.
    pub(super) fn over(values: impl Iterator<Item = f64>, logarithmic: bool) -> Self {
        let drawn = values.filter(|&value| can_draw(value, logarithmic));
        let (low, high) = drawn.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        match (low <= high, logarithmic) {
            (false, false) => Self::linear(0.0, 1.0),
            (false, true) => Self::decades(1.0, 10.0),
            (true, false) => Self::linear(low, high),
            (true, true) => Self::decades(low, high),
        }
    }

    fn linear(low: f64, high: f64) -> Self {
        let least = low.abs().max(high.abs()) * LEAST_RANGE;
        let (low, high) = match high - low {
            range if range > least => (low, high),
            _ if high == 0.0 => (0.0, 1.0),
            // One value only: from zero to it, or the other way round.
            _ => (low.min(0.0), high.max(0.0)),
        };
        let rough = (high - low) / TICKS;
        let power = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0].map(|factor| factor * power).into_iter().rfind(|&step| step <= rough).unwrap_or(power);
        Self { logarithmic: false, low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn decades(low: f64, high: f64) -> Self {
        let (low, high) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let step = ((high - low) / MOST_DECADES + 1).max(1);
        // At least one, and so many that the last tick is the end.
        let steps = ((high - low + step - 1) / step).max(1);
        Self { logarithmic: true, low: low.into(), high: (low + steps * step).into(), step: step.into() }
    }

    /// The place of a value, from 0 to 1; `None` if it cannot be drawn. What lies outside is at the end.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        if !can_draw(value, self.logarithmic) {
            return None;
        }
        let value = if self.logarithmic { value.log10() } else { value };
        Some(((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0))
    }

    /// The place that bars begin at.
    pub(super) fn origin(&self) -> f64 {
        if self.logarithmic { 0.0 } else { self.place(0.0).unwrap_or(0.0) }
    }

    /// The ticks, from the low end to the high one.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let intervals = ((self.high - self.low) / self.step).round().min(40.0) as u32;
        let tick = |i: u32| {
            let place = f64::from(i) / f64::from(intervals.max(1));
            let at = self.low + f64::from(i) * self.step;
            if self.logarithmic {
                let value = 10_f64.powi(at as i32);
                return Tick { value, place, step: value };
            }
            // Sums of steps that ought to be zero are not quite.
            let value = if at.abs() < self.step * 1e-6 { 0.0 } else { at };
            Tick { value, place, step: self.step }
        };
        (0..=intervals).map(tick).collect()
    }
}

/// Whether a value has a place.
pub(super) fn can_draw(value: f64, logarithmic: bool) -> bool {
    value.abs() <= LARGEST && (!logarithmic || value >= 1.0 / LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(scale: &Scale) -> Vec<f64> {
        scale.ticks().iter().map(|tick| tick.value).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let ticks = |data: &[f64], logarithmic| values(&Scale::over(data.iter().copied(), logarithmic));
        assert_eq!(ticks(&[0.0, 176.8], false), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0, 180.0]);
        assert_eq!(ticks(&[-8.0, 23.0], false), [-10.0, -5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
        assert_eq!(ticks(&[7.0, 7.0], false), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(ticks(&[], false), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(&[3.0, 2_000.0], true), [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(ticks(&[10.0, 10.0], true), [10.0, 100.0]);
        assert_eq!(ticks(&[0.0, -1.0, f64::NAN, f64::INFINITY], true), [1.0, 10.0]);
    }

    #[test]
    fn values_without_a_place_have_none() {
        let (linear, logarithmic) = (Scale::over([1.0, 2.0].into_iter(), false), Scale::over([1.0].into_iter(), true));
        assert_eq!(linear.place(f64::NAN).or(linear.place(f64::NEG_INFINITY)).or(linear.place(f64::MAX)), None);
        assert_eq!(logarithmic.place(0.0).or(logarithmic.place(-1.0)).or(logarithmic.place(f64::NAN)), None);
        assert_eq!(logarithmic.place(10.0), Some(1.0));
    }

    proptest! {
        #[test]
        fn values_keep_their_order(data: Vec<f64>, logarithmic: bool) {
            let scale = Scale::over(data.iter().copied(), logarithmic);
            let mut drawn: Vec<f64> = data.into_iter().filter(|&value| can_draw(value, logarithmic)).collect();
            drawn.sort_by(f64::total_cmp);
            let places: Vec<f64> = drawn.iter().filter_map(|&value| scale.place(value)).collect();
            prop_assert_eq!(places.len(), drawn.len());
            prop_assert!(places.is_sorted() && places.iter().all(|place| (0.0..=1.0).contains(place)), "{:?}", places);
        }

        #[test]
        fn ticks_are_where_their_values_are(low in -1e6..1e6, range in 1e-3..1e6, logarithmic: bool) {
            let scale = Scale::over([low, low + range].into_iter(), logarithmic);
            let ticks = scale.ticks();
            prop_assert!((2..=12).contains(&ticks.len()), "{:?}", ticks);
            for tick in ticks {
                let place = scale.place(tick.value).expect("a place");
                prop_assert!((place - tick.place).abs() < 1e-6, "{:?} at {}", tick, place);
            }
        }
    }
}
