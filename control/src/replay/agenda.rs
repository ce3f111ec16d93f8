//! Actions that wait for their time, and what becomes of them.

use super::ReplayError;
use super::actions::{Action, Target, Timed};
use crate::control::Control;
use crate::events::Event;
use crate::health::{HealthEvent, Reason, Transition};
use crate::state::{ChangeError, State, StateError};
use crate::topology::hops_to;
use guideway_config::model;
use guideway_dataplane::time::Nanos;
use std::collections::VecDeque;
use std::time::Duration;

/// Actions in the order of their times.
pub(super) struct Agenda(VecDeque<Planned>);

/// An action whose backends are known.
pub(super) struct Planned {
    pub(super) timed: Timed,
    /// Pool and name of each.
    backends: Vec<(String, String)>,
}

impl Agenda {
    /// Sorts actions, and checks what can be checked before the first packet: whether there is what they name.
    pub(super) fn new(state: &State, actions: &[Timed]) -> Result<Self, ReplayError> {
        let mut actions = actions.to_vec();
        // Stable: of two at one time, the one that was written first.
        actions.sort_by_key(|timed| timed.after);
        let mut known = Known(state, Vec::new());
        let planned = actions.into_iter().map(|timed| {
            let backends = known.resolve(&timed).map_err(|problem| timed.refused(&problem))?;
            Ok(Planned { timed, backends })
        });
        Ok(Self(planned.collect::<Result<_, ReplayError>>()?))
    }

    /// When the next action is due, from the first frame on.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.front().map(|planned| planned.timed.after)
    }

    /// When the last one is.
    pub(super) fn last(&self) -> Option<Duration> {
        self.0.back().map(|planned| planned.timed.after)
    }

    /// Takes the next action out if it is due.
    pub(super) fn take_due(&mut self, elapsed: Duration) -> Option<Planned> {
        self.next().filter(|after| *after <= elapsed)?;
        self.0.pop_front()
    }
}

/// The backends that an action may name: those of the configuration, and those that were to be added before.
struct Known<'s>(&'s State, Vec<(usize, String)>);

impl Known<'_> {
    fn has(&self, pool: usize, name: &str) -> bool {
        self.0.backend_named(pool, name).is_ok()
            || self.1.iter().any(|(in_pool, added)| *in_pool == pool && added == name)
    }

    fn resolve(&mut self, timed: &Timed) -> Result<Vec<(String, String)>, String> {
        let state = self.0;
        let Target { pool, name } = &timed.target;
        let told = |error: ChangeError| error.to_string();
        if let Some(pool_name) = pool {
            let pool = state.pool_named(pool_name).map_err(told)?;
            if let Action::Add { address, .. } = timed.action {
                if hops_to(&state.config, address).is_empty() {
                    return Err(StateError::NoRoute { pool: pool_name.clone(), backend: name.clone() }.to_string());
                }
                self.1.push((pool, name.clone()));
            } else if !self.has(pool, name) {
                state.backend_named(pool, name).map_err(told)?;
            }
            return Ok(vec![(pool_name.clone(), name.clone())]);
        }
        let pools = state.config.pools.iter().enumerate().filter(|(pool, _)| self.has(*pool, name));
        let found: Vec<_> = pools.map(|(_, pool)| (pool.name.clone(), name.clone())).collect();
        match (timed.action, &found[..]) {
            (_, []) => Err("no backend has that name; give NAME or POOL/NAME as in the configuration".to_owned()),
            (Action::Change(_), [_, _, ..]) => {
                let names: Vec<String> = found.iter().map(|(pool, name)| format!("{pool}/{name}")).collect();
                Err(format!("several pools have a backend of that name; write one of {}", names.join(", ")))
            }
            _ => Ok(found),
        }
    }
}

impl Planned {
    /// Does it. Returns whether workers must learn of it at once.
    pub(super) fn apply(&self, control: &mut Control, now: Nanos) -> Result<bool, ReplayError> {
        let mut changed = false;
        for (pool, name) in &self.backends {
            let done = match self.timed.action {
                Action::Change(change) => control.change(pool, name, change, now).map(|()| false),
                Action::Add { address, weight } => {
                    let backend = model::Backend {
                        name: name.clone(),
                        address,
                        port: None,
                        weight,
                        priority: 0,
                        server_id: None,
                    };
                    // Nobody checks it here: it counts as up.
                    control.add(pool, backend).and_then(|()| judge(control, pool, name, Transition::Up, now))
                }
                Action::Up => judge(control, pool, name, Transition::Up, now),
                Action::Down => judge(control, pool, name, Transition::Down, now),
            };
            changed |= done.map_err(|error| self.timed.refused(&error))?;
        }
        Ok(changed)
    }
}

/// Lets the health check of a backend judge.
fn judge(
    control: &mut Control,
    pool: &str,
    name: &str,
    transition: Transition,
    now: Nanos,
) -> Result<bool, ChangeError> {
    let state = control.state();
    let pool = state.pool_named(pool)?;
    let backend = state.pools[pool].backends[state.backend_named(pool, name)?].id;
    let reason = if transition == Transition::Up { Reason::Answered } else { Reason::Timeout };
    Ok(control.apply(Event::Health(HealthEvent { backend, check: None, at: now, transition, reason })))
}
