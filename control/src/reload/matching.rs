//! Which pool goes on as which.
//!
//! A pool is known by its VIPs first: if all that stay of its VIPs go to one pool of the new file, and that one gets no other
//! VIP that was there before, it goes on as that pool, with its slots and its connections, whatever the name is. So a VIP that
//! goes from one pool to another keeps its connections, as long as it takes all of its pool's slots along. The other pools are
//! known by name.

use super::vips::key;
use guideway_config::model::Config;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Which pools go on, and where all of the new file are.
pub(super) struct Matching {
    /// By old pool: the new one that it goes on as; `None`: it ends.
    pub goes_on: Vec<Option<usize>>,
    /// The new pools in the order of the target: those that go on in the old order, then those that are new.
    pub order: Vec<usize>,
}

impl Matching {
    pub(super) fn of(old: &Config, new: &Config) -> Self {
        let mut goes_on = by_vips(old, new);
        let mut taken: HashSet<usize> = goes_on.iter().flatten().copied().collect();
        let by_name: HashMap<&str, usize> =
            new.pools.iter().enumerate().map(|(index, pool)| (pool.name.as_str(), index)).collect();
        for (pool, to) in old.pools.iter().zip(&mut goes_on) {
            let namesake = by_name.get(pool.name.as_str()).copied();
            *to = to.or_else(|| namesake.filter(|index| taken.insert(*index)));
        }
        let fresh = (0..new.pools.len()).filter(|index| !taken.contains(index));
        let order = goes_on.iter().flatten().copied().chain(fresh).collect();
        Self { goes_on, order }
    }

    /// By new pool: its place in the target.
    pub(super) fn places(&self) -> Vec<usize> {
        let mut places = vec![0; self.order.len()];
        for (place, index) in self.order.iter().enumerate() {
            places[*index] = place;
        }
        places
    }

    /// The new pools that no old one goes on as.
    pub(super) fn fresh(&self) -> &[usize] {
        let kept = self.goes_on.iter().flatten().count();
        &self.order[kept..]
    }
}

fn by_vips(old: &Config, new: &Config) -> Vec<Option<usize>> {
    let now: HashMap<_, usize> = new.vips.iter().map(|vip| (key(vip), vip.pool)).collect();
    let mut to = vec![BTreeSet::new(); old.pools.len()];
    let mut from = vec![BTreeSet::new(); new.pools.len()];
    for vip in &old.vips {
        if let Some(pool) = now.get(&key(vip)) {
            to[vip.pool].insert(*pool);
            from[*pool].insert(vip.pool);
        }
    }
    let only = |set: &BTreeSet<usize>| if set.len() == 1 { set.first().copied() } else { None };
    to.iter().map(|to| only(to).filter(|pool| from[*pool].len() == 1)).collect()
}
