//! Whose turn it is: rounds in proportion to weights, in integer arithmetic.

/// The most rounds that are planned together. More rounds share one pass over the backends, which matters when one
/// weight is far above the others and a round has few turns.
const MAX_WINDOW: usize = 1024;

/// Yields the backends that have a turn, round after round, in each in ascending order.
///
/// In round `r` a backend of weight `w` has `floor(r * w / w_max) - floor((r - 1) * w / w_max)` turns: none or one, and
/// its `k`-th turn is in round `ceil(k * w_max / w)`.
pub(super) struct Turns {
    /// Empty if all weights are the same: the first round then stands for all.
    schedules: Vec<Schedule>,
    /// The rounds of the current window, one after the other.
    window: Vec<Vec<u16>>,
    /// The first round after the current window.
    window_end: u64,
    /// The current round's place in the window.
    current: usize,
    /// Turns of it that were given out.
    taken: usize,
}

/// When one backend's turns come.
struct Schedule {
    backend: u16,
    /// The round of the next turn.
    round: u64,
    /// From turn to turn `step` rounds, and one more whenever `error` runs below zero: `error` is
    /// `round * weight - k * w_max`, the part of the ceiling that was rounded up.
    step: u64,
    weight: u64,
    remainder: u64,
    error: u64,
}

impl Schedule {
    fn new(backend: u16, weight: u64, max: u64) -> Self {
        let round = max.div_ceil(weight);
        let error = round * weight - max;
        Self { backend, round, step: max / weight, weight, remainder: max % weight, error }
    }

    fn advance(&mut self) {
        self.round += self.step;
        if self.error >= self.remainder {
            self.error -= self.remainder;
        } else {
            self.round += 1;
            self.error += self.weight - self.remainder;
        }
    }
}

impl Turns {
    /// Backends are the positions in `weights`, at most 65,536. Those of weight 0 have no turn; there is
    /// one of another weight.
    pub(super) fn new(weights: &[u32]) -> Self {
        let max = u64::from(weights.iter().copied().max().unwrap_or(0));
        let weights =
            || (0..).zip(weights).map(|(i, &weight)| (i, u64::from(weight))).filter(|&(_, weight)| weight > 0);
        if weights().all(|(_, weight)| weight == max) {
            let everyone = weights().map(|(backend, _)| backend).collect();
            return Self { schedules: Vec::new(), window: vec![everyone], window_end: 2, current: 0, taken: 0 };
        }
        let schedules = weights().map(|(backend, weight)| Schedule::new(backend, weight, max)).collect();
        Self { schedules, window: vec![Vec::new()], window_end: 1, current: 0, taken: 0 }
    }

    /// The next backends that have a turn, in the order of their turns: none of them twice, and `most` at most.
    pub(super) fn next_turns(&mut self, most: usize) -> &[u16] {
        while self.taken == self.window[self.current].len() {
            self.current += 1;
            self.taken = 0;
            if self.current == self.window.len() {
                self.plan_window();
            }
        }
        let rest = &self.window[self.current][self.taken..];
        let turns = &rest[..rest.len().min(most)];
        self.taken += turns.len();
        turns
    }

    /// Backends are visited in order, so each round of the window comes out in order. A window that has fewer turns
    /// than there are backends to visit is followed by one twice as long.
    fn plan_window(&mut self) {
        self.current = 0;
        if self.schedules.is_empty() {
            return;
        }
        let turns: usize = self.window.iter().map(Vec::len).sum();
        if self.window_end > 1 && turns < self.schedules.len() && self.window.len() < MAX_WINDOW {
            self.window.resize(2 * self.window.len(), Vec::new());
        }
        self.window.iter_mut().for_each(Vec::clear);
        let start = self.window_end;
        self.window_end += self.window.len() as u64;
        for schedule in &mut self.schedules {
            while schedule.round < self.window_end {
                self.window[(schedule.round - start) as usize].push(schedule.backend);
                schedule.advance();
            }
        }
    }
}
