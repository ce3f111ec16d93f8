//! How much a backend gets of what its weight asks for: what its agent says, and how long it is back.

use super::{Admin, BackendState, State};
use crate::checks::speak::Line;
use crate::health::{AGENT, HealthEvent, Reason, Transition};
use guideway_config::model;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use std::time::{Duration, SystemTime};
use tracing::info;

/// Parts in which the share of a backend that returns grows.
const QUARTERS: u8 = 4;
/// What a whole share is, in percent.
pub const WHOLE: u16 = 100;

/// What an agent said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Percentage of the configured weight.
    pub percent: u16,
    /// Whether it wants no new flows.
    pub drain: bool,
}

impl Default for Advice {
    fn default() -> Self {
        Self { percent: WHOLE, drain: false }
    }
}

/// How far a backend is after its return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmth {
    quarters: u8,
    /// Since when it grows.
    since: Option<Nanos>,
}

impl Default for Warmth {
    fn default() -> Self {
        Self { quarters: QUARTERS, since: None }
    }
}

impl Warmth {
    /// A backend that returned at `now`; `time` is how long it takes to have its whole share.
    #[must_use]
    pub fn returned(time: Option<Duration>, now: Nanos) -> Self {
        if time.is_some() { Self { quarters: 1, since: Some(now) } } else { Self::default() }
    }

    /// The same at `now`.
    #[must_use]
    pub fn at(self, time: Option<Duration>, now: Nanos) -> Self {
        let (Some(since), Some(time)) = (self.since, time) else { return Self::default() };
        let step = time / u32::from(QUARTERS - 1);
        let grown = now.since(since).as_nanos() / step.as_nanos().max(1);
        let quarters = grown.saturating_add(1).min(u128::from(QUARTERS)) as u8;
        if quarters == QUARTERS { Self::default() } else { Self { quarters, since: Some(since) } }
    }

    /// Whether it is on its way.
    #[must_use]
    pub const fn is_growing(self) -> bool {
        self.since.is_some()
    }

    /// Its share, in percent.
    #[must_use]
    pub const fn percent(self) -> u16 {
        self.quarters as u16 * WHOLE / QUARTERS as u16
    }
}

/// The weight that the table is made with. A table depends on nothing but the ratio of weights, so a pool that knows
/// neither agents nor slow start has them as they are written; in the others a whole share counts 400 for each unit.
#[must_use]
pub(super) fn weight(pool: &model::Pool, of_config: &model::Backend, backend: &BackendState) -> u32 {
    if pool.agent.is_none() && pool.slow_start.is_none() {
        return of_config.weight;
    }
    of_config.weight * u32::from(backend.advice.percent) * u32::from(backend.warmth.quarters)
}

impl State {
    /// Takes over what the agent of a backend says of its share; what it says nothing of stays.
    pub fn set_advice(&mut self, id: BackendId, line: Line, now: Nanos) -> bool {
        let Some((pool, index)) = self.find(id) else { return false };
        let of_pool = &mut self.pools[pool.index()];
        let backend = &mut of_pool.backends[index];
        let before = backend.advice;
        let advice =
            Advice { percent: line.percent.unwrap_or(before.percent), drain: line.drain.unwrap_or(before.drain) };
        // Nobody asks what is disabled: an answer that was under way says nothing.
        if advice == before || backend.admin == Admin::Disabled {
            return false;
        }
        let of_config = &self.config.pools[pool.index()];
        let (percent, drain) = (advice.percent, advice.drain);
        let name = &of_config.backends[index].name;
        info!(backend = %format_args!("{}/{name}", of_config.name), percent, drain, "its agent");
        let drained = backend.is_draining();
        backend.advice = advice;
        if drained && !backend.is_draining() {
            // It was the agent that drained it, and what a limit forced ends with that.
            backend.forced = false;
            backend.drained_since = None;
        }
        backend.note_drain(now);
        of_pool.backends_stale = true;
        self.react(pool.index());
        true
    }

    /// Takes over whether the agent of a backend calls it down. Returns whether that is new.
    pub fn agent_says(&mut self, backend: BackendId, line: Line, at: Nanos, wall: SystemTime) -> bool {
        let Some(down) = line.down else { return false };
        let transition = if down { Transition::Down } else { Transition::Up };
        self.judge(&HealthEvent { backend, check: Some(AGENT), at, transition, reason: Reason::Agent }, wall)
    }

    /// Lets the shares of backends that returned grow. Returns whether one has still to.
    pub(super) fn warm(&mut self, pool: usize, now: Nanos) -> bool {
        let time = self.config.pools[pool].slow_start;
        let mut growing = false;
        for backend in &mut self.pools[pool].backends {
            if backend.warmth.is_growing() {
                backend.warmth = backend.warmth.at(time, now);
                // Also in the step in which it is whole: facts are to be taken once more.
                growing = true;
            }
        }
        growing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Nanos {
        Nanos(millis * 1_000_000)
    }

    #[test]
    fn a_share_grows_in_few_steps_to_the_whole() {
        let time = Some(Duration::from_secs(30));
        let warmth = Warmth::returned(time, at(5_000));
        let shares = [5_000, 14_999, 15_000, 24_999, 25_000, 34_999, 35_000, 1_000_000];
        let shares = shares.map(|millis| warmth.at(time, at(millis)).percent());
        assert_eq!(shares, [25, 25, 50, 50, 75, 75, 100, 100]);
        assert!(warmth.at(time, at(34_999)).is_growing() && !warmth.at(time, at(35_000)).is_growing());
    }

    #[test]
    fn without_slow_start_the_share_is_whole_at_once() {
        assert_eq!(Warmth::returned(None, at(1)), Warmth::default());
        assert_eq!(Warmth::default().percent(), 100);
        let growing = Warmth::returned(Some(Duration::from_secs(3)), at(1));
        assert_eq!(growing.at(None, at(2)), Warmth::default(), "a reload took it away");
    }
}
