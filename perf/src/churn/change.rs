//! What happens to backends.

use super::balancer::Balancer;
use super::random::Random;
use super::setup::{Setup, backend_address, backend_name};
use super::truth::{Number, Truth};
use guideway_config::model;
use guideway_control::events::Event;
use guideway_control::health::{HealthEvent, Reason, Transition};
use guideway_control::state::Change;
use guideway_dataplane::time::Nanos;
use std::net::IpAddr;
use std::time::Duration;

/// A backend that is down, and when it returns.
struct Outage {
    number: Number,
    returns: Nanos,
}

/// Makes changes, one after the other, that overlap since each takes longer than the time to the next.
pub(super) struct Changes {
    random: Random,
    outages: Vec<Outage>,
    /// Backends that take the place of one that was removed at once: when, and in which pool.
    substitutes: Vec<(Nanos, usize)>,
    next_backend: u64,
    pub(super) made: u64,
}

/// Pools, and how often each has a change: the one with the flows mostly.
const POOLS: [(usize, f64); 3] = [(0, 0.8), (1, 0.1), (2, 0.1)];

impl Changes {
    pub(super) fn new(seed: u64, setup: &Setup) -> Self {
        let next_backend = u64::from(setup.backends.max(setup.sticky_backends));
        Self { random: Random::new(seed), outages: Vec::new(), substitutes: Vec::new(), next_backend, made: 0 }
    }

    /// Makes one change at random.
    pub(super) fn make(&mut self, setup: &Setup, truth: &mut Truth, balancers: &mut [Balancer], now: Nanos) {
        self.made += 1;
        let pick = self.random.unit();
        let pool = if pick < POOLS[0].1 {
            0
        } else if pick < POOLS[0].1 + POOLS[1].1 {
            1
        } else {
            2
        };
        let replaces = setup.replacements;
        // What is no planned change lies above 0.55 + `replaces`.
        let most = if setup.deaths { 1.0 } else { replaces + 0.55 };
        match self.random.unit() * most {
            share if share < replaces / 2.0 => self.remove(pool, truth, balancers, now),
            share if share < replaces => self.add(pool, truth, balancers, now),
            share if share < replaces + 0.2 => self.drain(pool, truth, balancers, now),
            share if share < replaces + 0.35 => self.enable(pool, truth, balancers, now),
            share if share < replaces + 0.55 => self.weigh(pool, truth, balancers, now),
            // A blip, shorter than most idle gaps; a restart; a repair.
            share if share < replaces + 0.7 => self.kill(setup, pool, truth, balancers, now, (0.06, 3.0)),
            share if share < replaces + 0.82 => self.kill(setup, pool, truth, balancers, now, (3.0, 60.0)),
            _ => self.kill(setup, pool, truth, balancers, now, (60.0, 1_800.0)),
        }
    }

    /// One backend of these.
    fn one_of(&mut self, those: &[Number]) -> Option<Number> {
        those.get(self.random.below(those.len() as u64) as usize).copied()
    }

    fn ask(&self, number: Number, change: Change, truth: &Truth, balancers: &mut [Balancer], now: Nanos) -> bool {
        let backend = truth.get(number);
        let pool = ["web", "sticky", "sticky2"][backend.pool];
        let mut done = true;
        for balancer in balancers {
            done &= balancer.change(now, |control| control.change(pool, &backend.name, change, now)).is_ok();
        }
        done
    }

    fn drain(&mut self, pool: usize, truth: &mut Truth, balancers: &mut [Balancer], now: Nanos) {
        let serving = truth.those(pool, |backend| backend.drained_since.is_none() && backend.up);
        // Some stay: a pool of which nobody serves is another matter.
        if serving.len() * 2 > truth.those(pool, |_| true).len()
            && let Some(number) = self.one_of(&serving)
            && self.ask(number, Change::Drain { force: false }, truth, balancers, now)
        {
            truth.get_mut(number).drained_since = Some(now);
        }
    }

    fn enable(&mut self, pool: usize, truth: &mut Truth, balancers: &mut [Balancer], now: Nanos) {
        let drained = truth.those(pool, |backend| backend.drained_since.is_some() && !backend.leaving);
        if let Some(number) = self.one_of(&drained)
            && self.ask(number, Change::Enable, truth, balancers, now)
        {
            truth.get_mut(number).drained_since = None;
        }
    }

    fn weigh(&mut self, pool: usize, truth: &mut Truth, balancers: &mut [Balancer], now: Nanos) {
        let staying = truth.those(pool, |backend| !backend.leaving);
        if let Some(number) = self.one_of(&staying) {
            let weight = Change::Weight(5 + self.random.below(11) as u32);
            self.ask(number, weight, truth, balancers, now);
        }
    }

    fn remove(&mut self, pool: usize, truth: &mut Truth, balancers: &mut [Balancer], now: Nanos) {
        let staying = truth.those(pool, |backend| !backend.leaving && backend.up);
        let force = self.random.chance(0.2);
        if staying.len() > 3
            && let Some(number) = self.one_of(&staying)
            && self.ask(number, Change::Remove { force }, truth, balancers, now)
        {
            let backend = truth.get_mut(number);
            backend.leaving = true;
            if force {
                backend.up = false;
                backend.down_since = now;
                self.substitutes.push((now + Duration::from_millis(1_200), pool));
            }
            backend.drained_since.get_or_insert(now);
        }
    }

    fn add(&mut self, pool: usize, truth: &mut Truth, balancers: &mut [Balancer], now: Nanos) {
        let number = self.next_backend;
        self.next_backend += 1;
        let backend = model::Backend {
            name: backend_name(pool, number),
            address: IpAddr::V4(backend_address(pool, number)),
            port: None,
            weight: 10,
            priority: 0,
            server_id: None,
        };
        let to = ["web", "sticky", "sticky2"][pool];
        let mut id = None;
        for balancer in balancers {
            let added = balancer.change(now, |control| control.add(to, backend.clone()));
            let last = balancer.control.state().pools[pool].backends.last().map(|backend| backend.id);
            // The first balancer's ids count; the others are asked for names.
            id = id.or(added.ok().and(last));
        }
        if let Some(id) = id {
            let number = truth.add(pool, backend.name, id);
            truth.get_mut(number).joining = true;
        }
    }

    fn kill(
        &mut self,
        setup: &Setup,
        pool: usize,
        truth: &mut Truth,
        balancers: &mut [Balancer],
        now: Nanos,
        (least, most): (f64, f64),
    ) {
        let up = truth.those(pool, |backend| backend.up && !backend.returning);
        let many = setup.outage > 0.0 && pool == 0 && self.random.chance(0.1);
        let count = if many { (up.len() as f64 * setup.outage) as usize } else { 1 };
        if up.len() < count + 3 {
            return;
        }
        let returns = now + self.random.seconds(least, most);
        for _ in 0..count {
            let up = truth.those(pool, |backend| backend.up && !backend.returning);
            let Some(number) = self.one_of(&up) else { return };
            let backend = truth.get_mut(number);
            backend.up = false;
            backend.down_since = now;
            self.outages.push(Outage { number, returns });
            judge(truth, balancers, number, Transition::Down, now);
        }
    }

    /// Lets backends return whose time has come.
    pub(super) fn tick(&mut self, truth: &mut Truth, balancers: &mut [Balancer], now: Nanos) {
        let mut outages = std::mem::take(&mut self.outages);
        outages.retain(|outage| {
            let over = outage.returns <= now;
            if over && !truth.get(outage.number).gone {
                let backend = truth.get_mut(outage.number);
                backend.up = true;
                backend.returning = true;
                backend.unannounced = true;
                judge(truth, balancers, outage.number, Transition::Up, now);
            }
            !over
        });
        self.outages = outages;
        let mut substitutes = std::mem::take(&mut self.substitutes);
        substitutes.retain(|(at, pool)| {
            if *at <= now {
                self.add(*pool, truth, balancers, now);
            }
            *at > now
        });
        self.substitutes = substitutes;
    }

    /// When the next backend returns, or takes the place of another one.
    pub(super) fn next_return(&self) -> Option<Nanos> {
        let substitutes = self.substitutes.iter().map(|(at, _)| *at);
        self.outages.iter().map(|outage| outage.returns).chain(substitutes).min()
    }
}

fn judge(truth: &Truth, balancers: &mut [Balancer], number: Number, transition: Transition, now: Nanos) {
    let backend = truth.get(number);
    for balancer in balancers {
        let pool = &balancer.control.state().config.pools[backend.pool];
        let Some(index) = pool.backends.iter().position(|of_config| of_config.name == backend.name) else { continue };
        let id = balancer.control.state().pools[backend.pool].backends[index].id;
        let reason = if transition == Transition::Up { Reason::Answered } else { Reason::Timeout };
        let event = Event::Health(HealthEvent { backend: id, check: None, at: now, transition, reason });
        balancer.change(now, |control| {
            if control.apply(event) && control.state().is_stale() {
                control.publish();
            }
        });
    }
}

/// How long after the death of a backend packets may still go to it: workers learn of it in their time.
pub(super) fn is_settled(since: Nanos, now: Nanos, setup: &Setup) -> bool {
    now.since(since) > setup.slowest_adoption + Duration::from_secs(2)
}
