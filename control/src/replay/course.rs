//! How time goes on between two frames: in the steps of the process, as long as anything waits for them.

use super::closing::Applied;
use super::{Replay, ReplayError};
use crate::control::Control;
use crate::state::{BackendHealth, BackendState, PoolState, Stage, State};
use guideway_config::model::Pool;
use guideway_dataplane::fragment::HOLD_TIME;
use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// The longest step while a change is under way: the tick of the process.
const TICK: Duration = Duration::from_millis(50);

impl Replay {
    /// Lets time go on up to a frame that comes next: actions are applied, changes go on, workers learn of them. Of the
    /// hours of an idle capture, those are skipped in which nothing would happen.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Action`] for an action that cannot be done.
    pub fn advance(&mut self, to: Nanos) -> Result<(), ReplayError> {
        let start = *self.start.get_or_insert(to);
        self.now = self.now.max(start);
        loop {
            self.now = self.next_moment(start, to);
            self.act(start)?;
            self.control.step(self.now);
            self.poll_all();
            if self.now >= to {
                return Ok(());
            }
        }
    }

    /// Lets time go on after the last frame until no fragment is held any more and every action was applied.
    ///
    /// # Errors
    ///
    /// As for [`Replay::advance`].
    pub fn finish(&mut self, last: Nanos) -> Result<(), ReplayError> {
        self.advance(last)?;
        let start = self.start.unwrap_or(last);
        let actions = self.agenda.last().map_or(last, |after| start + after);
        self.advance(actions.max(last + HOLD_TIME))?;
        self.summary.close(&self.control);
        Ok(())
    }

    /// The next moment at which something may happen, at most `to`.
    fn next_moment(&self, start: Nanos, to: Nanos) -> Nanos {
        let tick = is_under_way(&self.control).then(|| self.now + TICK);
        let action = self.agenda.next().map(|after| start + after);
        let late = self.lanes.iter().filter_map(|lane| lane.adopts_at);
        let moments = tick.into_iter().chain(action).chain(late).chain(drain_ends(self.control.state()));
        moments.fold(to, Nanos::min).max(self.now)
    }

    /// Applies the actions that are due.
    fn act(&mut self, start: Nanos) -> Result<(), ReplayError> {
        let mut changed = false;
        while let Some(planned) = self.agenda.take_due(self.now.since(start)) {
            changed |= planned.apply(&mut self.control, self.now)?;
            self.names.learn(self.control.state());
            let (at, action) = (planned.timed.time, planned.timed.text);
            self.summary.actions.push(Applied { at, action });
        }
        // What came together is published together, as in the process.
        if changed {
            self.control.publish();
        }
        Ok(())
    }

    /// Lets every worker poll: so it learns what was published, unless it is late.
    fn poll_all(&mut self) {
        let latest = self.control.generation();
        for lane in &mut self.lanes {
            if let Some(skew) = &mut self.skew {
                lane.notice(self.now, latest, skew);
            }
            lane.poll(self.now, latest, &mut ());
        }
        self.summary.take_over(self.control.counters());
    }
}

/// Whether anything goes on by itself, so that steps must not be left out.
fn is_under_way(control: &Control) -> bool {
    let state = control.state();
    let pools = state.pools.iter().zip(&state.config.pools);
    let changes = |(pool, of_config): (&PoolState, &Pool)| {
        pool.is_stale()
            || !pool.plan.is_quiet()
            || pool.backends.iter().any(|backend| is_changing(state, of_config, backend))
    };
    control.acknowledged() != control.generation() || pools.into_iter().any(changes)
}

/// Whether a backend will be in another state though nobody does anything.
fn is_changing(state: &State, pool: &Pool, backend: &BackendState) -> bool {
    let returns = !backend.counts_as_up && backend.health != BackendHealth::Down;
    // One whose next hop is unknown never joins: nobody asks for it here.
    let is_reached = || backend.hops.iter().any(|hop| state.neighbors.contains_key(&(hop.link, hop.neighbor)));
    let is_checked = || backend.health == BackendHealth::Up || pool.health.is_empty();
    let joins = backend.stage == Stage::Joining && is_reached() && is_checked();
    // One that slots name stays as it is: there is nobody else to serve.
    let empties = backend.unused_since.is_some() && !backend.is_empty;
    let leaves = backend.stage == Stage::Leaving && (backend.is_empty || backend.forced);
    returns || joins || empties || leaves || backend.stage == Stage::Left
}

/// When drains are no longer waited for.
fn drain_ends(state: &State) -> Option<Nanos> {
    let pools = state.pools.iter().zip(&state.config.pools);
    let ends =
        pools.filter_map(|(pool, of_config)| Some((pool, of_config.drain_timeout?))).flat_map(|(pool, limit)| {
            let waiting = pool.backends.iter().filter(|backend| backend.is_draining() && !backend.forced);
            waiting.filter_map(move |backend| Some(backend.drained_since? + limit))
        });
    ends.min()
}
