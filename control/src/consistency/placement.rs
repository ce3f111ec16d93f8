//! Facts about a pool's backends → its table. A pure function: no history, no order of events.

use guideway_config::model;
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::table::{BaseTable, BuildError, Table, TableBackend};
use std::collections::BTreeSet;

/// What the table is made of, for one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What the table hashes.
    pub name: String,
    /// Whether the base table has it: not while it joins, and not once it left.
    pub placed: bool,
    /// Its share; 0: no new flows.
    pub weight: u32,
    /// The group that it is of: the lowest number serves.
    pub priority: u8,
    /// Whether it gets new flows: not while it drains.
    pub takes_new: bool,
    /// Whether it is up.
    pub up: bool,
}

/// How facts are weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Below this share of backends that are up, all count as up; `None`: never.
    pub panic_threshold: Option<f64>,
    /// A group serves if at least this share of it may.
    pub group_min: f64,
}

impl From<&model::Pool> for Policy {
    fn from(pool: &model::Pool) -> Self {
        Self { panic_threshold: pool.panic_threshold, group_min: pool.group_min }
    }
}

/// Who gets new flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// The group that serves.
    pub priority: u8,
    /// Whether so few of it are up that all count as up.
    pub panic: bool,
    /// By pool-local index.
    pub eligible: Vec<bool>,
}

impl Policy {
    /// Who gets new flows: a group first, panic within it, then those that drain if there is nobody else.
    #[must_use]
    pub fn serving(&self, facts: &[Fact]) -> Serving {
        let priority = self.group(facts);
        let of_group = |fact: &Fact| fact.placed && fact.priority == priority;
        let serving = facts.iter().filter(|fact| of_group(fact) && fact.weight > 0);
        let (all, up) = serving.fold((0_u32, 0_u32), |(all, up), fact| (all + 1, up + u32::from(fact.up)));
        let panic = self.panic_threshold.is_some_and(|threshold| f64::from(up) < threshold * f64::from(all));
        let counts = |fact: &Fact| of_group(fact) && (fact.up || panic);
        let mut eligible: Vec<bool> = facts.iter().map(|fact| counts(fact) && fact.takes_new).collect();
        let serves = |fact: &Fact, eligible: bool| eligible && fact.weight > 0;
        let weightless = !facts.iter().any(|fact| of_group(fact) && fact.weight > 0);
        if !weightless && !facts.iter().zip(&eligible).any(|(fact, eligible)| serves(fact, *eligible)) {
            eligible = facts.iter().map(counts).collect();
        }
        Serving { priority, panic, eligible }
    }

    /// The lowest number whose eligible share is at least `group_min`; if none reaches it, the group with the largest
    /// share.
    fn group(&self, facts: &[Fact]) -> u8 {
        let priorities: BTreeSet<u8> = facts.iter().filter(|fact| fact.placed).map(|fact| fact.priority).collect();
        let mut best = (f64::NEG_INFINITY, 0);
        for priority in priorities {
            let of_group = || facts.iter().filter(|fact| fact.placed && fact.priority == priority);
            let able = of_group().filter(|fact| fact.up && fact.takes_new && fact.weight > 0).count();
            let share = able as f64 / of_group().count().max(1) as f64;
            if share > 0.0 && share >= self.group_min {
                return priority;
            }
            if share > best.0 {
                best = (share, priority);
            }
        }
        best.1
    }
}

/// Builds tables, and keeps the base tables that were built last: a health event needs no new one.
#[derive(Debug)]
pub struct Tables {
    hasher: FlowHasher,
    size: u32,
    policy: Policy,
    kept: Vec<(Vec<Placed>, BaseTable)>,
}

/// What a base table depends on: index, name and weight of each backend in it.
type Placed = (u16, String, u32);

/// Base tables that are kept: of what is applied, of what is planned, and one of before.
const KEPT: usize = 3;

impl Tables {
    /// Tables of `size` slots.
    #[must_use]
    pub const fn new(hasher: FlowHasher, size: u32, policy: Policy) -> Self {
        Self { hasher, size, policy, kept: Vec::new() }
    }

    /// Weighs facts in another way from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// How facts are weighed.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The table of these facts.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for names that occur twice, a size that is not prime, or too many backends.
    pub fn table(&mut self, facts: &[Fact]) -> Result<Table, BuildError> {
        let serving = self.policy.serving(facts);
        let base = self.base(facts, serving.priority)?;
        Ok(base.with_eligible(&serving.eligible))
    }

    /// The table that these facts would give if every backend were eligible.
    ///
    /// # Errors
    ///
    /// As for [`Tables::table`].
    pub fn undisturbed(&mut self, facts: &[Fact]) -> Result<Table, BuildError> {
        let priority = self.policy.serving(facts).priority;
        self.base(facts, priority).map(|base| base.table().clone())
    }

    fn base(&mut self, facts: &[Fact], priority: u8) -> Result<&BaseTable, BuildError> {
        let of_group = (0..).zip(facts).filter(|(_, fact)| fact.placed && fact.priority == priority);
        let placed: Vec<Placed> = of_group.map(|(index, fact)| (index, fact.name.clone(), fact.weight)).collect();
        let found = self.kept.iter().position(|(of, _)| *of == placed);
        let kept = match found {
            Some(place) => self.kept.remove(place),
            None => {
                let members =
                    placed.iter().map(|(index, name, weight)| (*index, TableBackend { name, weight: *weight }));
                let base = BaseTable::build_of(members, &self.hasher, self.size)?;
                (placed, base)
            }
        };
        self.kept.insert(0, kept);
        self.kept.truncate(KEPT);
        Ok(&self.kept[0].1)
    }
}
