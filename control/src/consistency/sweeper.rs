//! Walks the pin table in small steps, and says what a whole walk found.

use crate::state::{PoolState, State};
use guideway_dataplane::consistency::{Phase, Rule};
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::ids::{BackendId, MAX_BACKENDS};
use guideway_dataplane::pin::{Pin, PinClock, PinOwner, Sweep};
use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// Ticks in which a walk comes round. An embryonic pin's tick has five bits, of which up to eight are `arm_time`: a walk
/// must meet it in the seven after that.
const ROUND: u32 = 6;

/// What a whole walk found.
#[derive(Clone, Debug)]
pub struct Swept {
    /// When it began.
    pub began: Nanos,
    /// Pins that stayed.
    pub live: usize,
    /// Pins of each backend, by id; shorter than the ids if the last ones have none.
    pub by_backend: Vec<u32>,
}

impl Swept {
    /// Pins of one backend.
    #[must_use]
    pub fn pins_of(&self, id: BackendId) -> u32 {
        self.by_backend.get(id.index()).copied().unwrap_or(0)
    }
}

/// The walk.
#[derive(Debug)]
pub struct Sweeper {
    sweep: Sweep,
    began: Nanos,
    last_step: Nanos,
    by_backend: Vec<u32>,
    /// By pool: slots with pins that are not those of the base.
    seen: Vec<Vec<u64>>,
    last: Swept,
}

impl Default for Sweeper {
    fn default() -> Self {
        let last = Swept { began: Nanos(0), live: 0, by_backend: Vec::new() };
        Self {
            sweep: Sweep::default(),
            began: Nanos(0),
            last_step: Nanos(0),
            by_backend: Vec::new(),
            seen: Vec::new(),
            last,
        }
    }
}

impl Sweeper {
    /// What the last whole walk found.
    #[must_use]
    pub const fn last(&self) -> &Swept {
        &self.last
    }

    /// Whether the next step begins a walk.
    #[must_use]
    pub fn is_beginning(&self) -> bool {
        self.by_backend.is_empty()
    }

    /// There is nothing to look at, and what lies behind counts for nothing.
    pub fn rest(&mut self, now: Nanos) {
        self.sweep = Sweep::default();
        self.by_backend.clear();
        self.last_step = now;
    }

    /// Everything that was found is void: there is another table, or it was cleared.
    pub fn forget(&mut self, now: Nanos) {
        self.rest(now);
        self.last = Swept { began: Nanos(0), live: 0, by_backend: Vec::new() };
    }

    /// Goes on by as much as the time since the last step asks for. Returns whether a walk ended: [`Sweeper::last`], and
    /// [`Sweeper::has_seen`].
    pub fn step(&mut self, state: &State, now: Nanos) -> bool {
        let table = &*state.pins;
        let round = table.clock().length() * ROUND;
        let elapsed = now.since(self.last_step).min(round);
        let buckets = table.capacity().div_ceil(guideway_dataplane::pin::WAYS) as f64;
        let share = elapsed.as_secs_f64() / round.max(Duration::from_nanos(1)).as_secs_f64();
        let due = (buckets * share).ceil() as usize;
        if due == 0 {
            return false;
        }
        self.last_step = now;
        if self.by_backend.is_empty() {
            self.begin(state, now);
        }
        let mut owner = Owner { state, clock: table.clock(), by_backend: &mut self.by_backend, seen: &mut self.seen };
        let ended = self.sweep.step(table, due, table.clock().tick(now), &mut owner);
        if ended {
            self.last =
                Swept { began: self.began, live: self.sweep.live, by_backend: std::mem::take(&mut self.by_backend) };
        }
        ended
    }

    fn begin(&mut self, state: &State, now: Nanos) {
        self.began = now;
        self.by_backend = vec![0; MAX_BACKENDS];
        let bits = |pool: &PoolState| vec![0; pool.plan.phases().current().len().div_ceil(64)];
        self.seen = state.pools.iter().map(bits).collect();
    }

    /// Whether the walk that ended found a pin in this slot that is not one of its base.
    #[must_use]
    pub fn has_seen(&self, pool: usize, slot: u32) -> bool {
        let word = self.seen.get(pool).and_then(|seen| seen.get(slot as usize / 64));
        word.is_some_and(|word| word >> (slot % 64) & 1 != 0)
    }
}

/// Whose pins a walk meets.
struct Owner<'a> {
    state: &'a State,
    clock: &'a PinClock,
    by_backend: &'a mut Vec<u32>,
    seen: &'a mut Vec<Vec<u64>>,
}

impl Owner<'_> {
    fn slot(&self, pool: usize, pin: Pin) -> u32 {
        FlowHash(u128::from(pin.tag())).slot(self.state.pools[pool].plan.phases().current().len() as u32)
    }
}

impl PinOwner for Owner<'_> {
    fn idle(&self, backend: BackendId) -> Option<u16> {
        let (pool, index) = self.state.find(backend)?;
        let gone = !self.state.rules.hold(Rule::DeathKeepsPins)
            && !self.state.pools[pool.index()].backends[index].counts_as_up;
        (!gone).then(|| self.clock.ticks(self.state.idle_times[pool.index()]))
    }

    fn is_redundant(&self, pin: Pin) -> bool {
        let Some((pool, index)) = self.state.find(pin.backend()) else { return true };
        let plan = &self.state.pools[pool.index()].plan;
        if plan.is_always() {
            return false;
        }
        let side = plan.phases().side(self.slot(pool.index(), pin));
        side.phase == Phase::Look && usize::from(side.base) == index && self.state.rules.hold(Rule::LookRemoves)
    }

    fn live(&mut self, pin: Pin) {
        if let Some(count) = self.by_backend.get_mut(pin.backend().index()) {
            *count += 1;
        }
        if let Some((pool, _)) = self.state.find(pin.backend()) {
            let slot = self.slot(pool.index(), pin) as usize;
            if let Some(word) = self.seen.get_mut(pool.index()).and_then(|seen| seen.get_mut(slot / 64)) {
                *word |= 1 << (slot % 64);
            }
        }
    }
}
