//! What an operator asks for at run time: each a planned change.

use super::build::{backend_state, place};
use super::{Admin, Advice, BackendHealth, BackendState, Stage, State, StateError, Verdicts};
use guideway_config::model;
use guideway_dataplane::ids::{BackendId, PoolId, VipId};
use guideway_dataplane::table::MAX_POOL_BACKENDS;
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use std::time::SystemTime;

/// The highest weight of a backend, as in the configuration.
const HIGHEST_WEIGHT: u32 = 65_535;

/// A change of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// No new flows, old ones stay.
    Drain {
        /// Old ones do not stay either: they move to other backends, and break.
        force: bool,
    },
    /// Back from a drain.
    Enable,
    /// A drain, and no checks.
    Disable,
    /// Another share.
    Weight(u32),
    /// A drain, and then it is gone.
    Remove {
        /// Without the drain: its flows move to other backends, and break.
        force: bool,
    },
}

impl Change {
    /// Its name in the log of changes, which is that of its request.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Drain { .. } => "drain",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Weight(_) => "weight",
            Self::Remove { .. } => "remove",
        }
    }
}

/// Why a change is refused.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No such pool.
    #[error("there is no pool {name:?}; the configuration has {known}")]
    Pool {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No such backend.
    #[error("pool {pool:?} has no backend {name:?}; it has {known}")]
    Backend {
        /// The pool.
        pool: String,
        /// What was asked for.
        name: String,
        /// What there is, or the first of it.
        known: String,
    },
    /// A name that is in use.
    #[error("pool {pool:?} has a backend {name:?} already; remove that first, or choose another name")]
    Exists {
        /// The pool.
        pool: String,
        /// The name.
        name: String,
    },
    /// A weight that is none.
    #[error("{0} is no weight: 0 to 65535")]
    Weight(u32),
    /// The only backend of a pool.
    #[error("{name:?} is the last backend of pool {pool:?}: drain it, or add another one first")]
    Last {
        /// The pool.
        pool: String,
        /// The backend.
        name: String,
    },
    /// A backend on its way out.
    #[error("{name:?} is being removed from pool {pool:?}: wait until it is gone, and add it again")]
    Leaving {
        /// The pool.
        pool: String,
        /// The backend.
        name: String,
    },
    /// A pool that is full.
    #[error("pool {0:?} has as many backends as a pool may have; remove one first, or use another pool")]
    Full(String),
    /// A backend that cannot be reached, or one too many.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Names in a message.
const NAMES_SHOWN: usize = 12;

fn list<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let more =
        if names.len() > NAMES_SHOWN { format!(" and {} more", names.len() - NAMES_SHOWN) } else { String::new() };
    format!("{}{more}", names[..names.len().min(NAMES_SHOWN)].join(", "))
}

impl State {
    /// The index of a pool.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Pool`].
    pub fn pool_named(&self, name: &str) -> Result<usize, ChangeError> {
        let found = self.config.pools.iter().position(|pool| pool.name == name);
        found.ok_or_else(|| ChangeError::Pool {
            name: name.to_owned(),
            known: list(self.config.pools.iter().map(|pool| &pool.name)),
        })
    }

    /// The index of a backend in its pool. Of two of one name, which a reload makes when an address changes, the new one.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Backend`].
    pub fn backend_named(&self, pool: usize, name: &str) -> Result<usize, ChangeError> {
        let of_config = &self.config.pools[pool];
        let found = of_config.backends.iter().rposition(|backend| backend.name == name);
        found.ok_or_else(|| ChangeError::Backend {
            pool: of_config.name.clone(),
            name: name.to_owned(),
            known: list(of_config.backends.iter().map(|backend| &backend.name)),
        })
    }

    /// Takes over what an operator asks for. It is planned: [`State::step`] goes on with it. Of two of one name both
    /// follow, but for one that leaves already.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing changed then.
    pub fn change(&mut self, pool: &str, name: &str, change: Change, now: Nanos) -> Result<(), ChangeError> {
        let pool = self.pool_named(pool)?;
        let newest = self.backend_named(pool, name)?;
        self.change_at(pool, newest, change, now)?;
        for index in 0..newest {
            let follows = self.config.pools[pool].backends[index].name == name;
            if follows && !self.pools[pool].backends[index].is_leaving() {
                self.change_at(pool, index, change, now)?;
            }
        }
        Ok(())
    }

    pub(crate) fn change_at(
        &mut self,
        pool: usize,
        index: usize,
        change: Change,
        now: Nanos,
    ) -> Result<(), ChangeError> {
        let of_config = &self.config.pools[pool];
        let (pool_name, name) = (|| of_config.name.clone(), of_config.backends[index].name.clone());
        let backends = &self.pools[pool].backends;
        let stays = |(backend, of): (&BackendState, &model::Backend)| !backend.is_leaving() && of.name != name;
        match change {
            Change::Weight(weight) if weight > HIGHEST_WEIGHT => return Err(ChangeError::Weight(weight)),
            Change::Remove { .. }
                if !backends[index].is_leaving() && !backends.iter().zip(&of_config.backends).any(stays) =>
            {
                return Err(ChangeError::Last { pool: pool_name(), name });
            }
            Change::Enable | Change::Disable | Change::Weight(_) if backends[index].is_leaving() => {
                return Err(ChangeError::Leaving { pool: pool_name(), name });
            }
            _ => {}
        }
        if let Change::Weight(weight) = change {
            Arc::make_mut(&mut self.config).pools[pool].backends[index].weight = weight;
        }
        let was_disabled = backends[index].admin == Admin::Disabled;
        let backend = &mut self.pools[pool].backends[index];
        backend.apply(change, now);
        // Who is checked changed with it.
        self.duties_stale |= was_disabled != (backend.admin == Admin::Disabled);
        self.pools[pool].backends_stale = true;
        self.react(pool);
        Ok(())
    }

    /// Adds a backend to a pool. It gets no flow before its next hop is known and its check passed.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing changed then.
    pub fn add(&mut self, pool: &str, backend: model::Backend, now: SystemTime) -> Result<(), ChangeError> {
        let pool = self.pool_named(pool)?;
        if self.config.pools[pool].backends.iter().any(|other| other.name == backend.name) {
            return Err(ChangeError::Exists { pool: self.config.pools[pool].name.clone(), name: backend.name });
        }
        self.join(pool, backend, now)
    }

    /// Adds a backend, whatever the names of the others are.
    pub(crate) fn join(&mut self, pool: usize, backend: model::Backend, now: SystemTime) -> Result<(), ChangeError> {
        if self.pools[pool].backends.len() >= MAX_POOL_BACKENDS {
            return Err(ChangeError::Full(self.config.pools[pool].name.clone()));
        }
        let id = self.ids.take().ok_or(StateError::TooManyBackends)?;
        let made = backend_state(&self.config, &self.config.pools[pool], &backend, id, now);
        let made = match made {
            Ok(made) => BackendState { stage: Stage::Joining, ..made },
            Err(error) => {
                self.ids.rest(id);
                return Err(error.into());
            }
        };
        place(&mut self.places, id, Some((PoolId(pool as u16), self.pools[pool].backends.len() as u16)));
        Arc::make_mut(&mut self.config).pools[pool].backends.push(backend);
        self.pools[pool].backends.push(made);
        self.pools[pool].backends_stale = true;
        self.duties_stale = true;
        self.react(pool);
        Ok(())
    }

    /// Whether nobody is to be told the way to VIPs from now on.
    pub fn withdraw(&mut self, withdrawn: bool) {
        self.duties_stale |= self.withdrawn != withdrawn;
        self.withdrawn = withdrawn;
    }

    /// The ids that were given out since the last call: what is counted for them begins there.
    pub(crate) fn take_fresh(&mut self) -> (Vec<VipId>, Vec<BackendId>) {
        (self.unused_vips.take_fresh(), self.ids.take_fresh())
    }

    /// Whether backends came or went since the last call: then the real-time thread is to be told its duties.
    pub fn take_duties_stale(&mut self) -> bool {
        std::mem::take(&mut self.duties_stale)
    }
}

impl BackendState {
    /// Whether it is on its way out.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving | Stage::Left)
    }

    pub(super) fn apply(&mut self, change: Change, now: Nanos) {
        match change {
            Change::Drain { force } => {
                self.admin = Admin::Drained;
                self.forced |= force;
            }
            Change::Enable => {
                self.admin = Admin::Enabled;
                self.forced = false;
                self.drained_since = None;
            }
            Change::Disable => {
                self.admin = Admin::Disabled;
                // Nobody judges it any more: it counts as up.
                self.health = BackendHealth::Unknown;
                self.reason = None;
                (self.verdicts, self.dies_at, self.advice) = (Verdicts::default(), None, Advice::default());
            }
            Change::Weight(_) => {}
            Change::Remove { force } => {
                // What only joins has no slot and no flow.
                let unknown = matches!(self.stage, Stage::Joining | Stage::Left);
                self.stage = if unknown { Stage::Left } else { Stage::Leaving };
                self.forced |= force;
            }
        }
        self.note_drain(now);
    }
}
