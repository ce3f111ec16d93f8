//! The simulation: clients, changes and the balancers, in order of time.

use super::balancer::Balancer;
use super::change::Changes;
use super::flow::{Extra, Flow, Kind, NOBODY, Step};
use super::outcome::Outcome;
use super::packet::{Shape, Source};
use super::random::Random;
use super::setup::Setup;
use super::truth::Truth;
use guideway_control::state::Stage;
use guideway_dataplane::time::Nanos;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// How often the control side looks: the product does every 50 ms, which finds the same a little sooner.
const TICK: Duration = Duration::from_millis(500);
/// Where time begins: not at zero, so that clocks may be behind.
const START: Nanos = Nanos(1_000_000_000_000);

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: u64,
    flow: u32,
    extra: Extra,
    /// Which life of the flow's place it is about.
    life: u32,
}

pub(super) struct World<'a> {
    pub(super) setup: &'a Setup,
    pub(super) random: Random,
    pub(super) now: Nanos,
    pub(super) truth: Truth,
    changes: Changes,
    /// The balancer, and one of the same fleet that gets no packets.
    pub(super) balancers: Vec<Balancer>,
    pub(super) flows: Vec<Flow>,
    lives: Vec<u32>,
    free: Vec<u32>,
    events: BinaryHeap<Reverse<Event>>,
    begun: u64,
    pub(super) outcome: Outcome,
}

impl<'a> World<'a> {
    pub(super) fn new(setup: &'a Setup) -> Self {
        let balancers = vec![Balancer::new(setup, setup.seed ^ 0xba1a), Balancer::new(setup, setup.seed ^ 0xba1b)];
        let mut truth = Truth::default();
        let state = balancers[0].control.state();
        for (number, (pool, of_config)) in state.pools.iter().zip(&state.config.pools).enumerate() {
            for (backend, of_config) in pool.backends.iter().zip(&of_config.backends) {
                truth.add(number, of_config.name.clone(), backend.id);
            }
        }
        Self {
            setup,
            random: Random::new(setup.seed),
            now: START,
            truth,
            changes: Changes::new(setup.seed ^ 0xc4a9, setup),
            balancers,
            flows: Vec::new(),
            lives: Vec::new(),
            free: Vec::new(),
            events: BinaryHeap::new(),
            begun: 0,
            outcome: Outcome::default(),
        }
    }

    /// Runs to the end: until the last flow began, and all that was under way is over.
    pub(super) fn run(mut self, mut progress: impl FnMut(f64)) -> Outcome {
        let length = self.setup.length();
        let end = START + length + self.setup.idle * 10;
        let between = length.div_f64(self.setup.flows.max(1) as f64);
        let mut next_flow = START;
        let mut next_change = START + self.setup.change_every;
        let mut next_tick = START;
        let mut next_report = START;
        while self.now < end && !(self.now > START + length + self.setup.idle * 3 && self.events.is_empty()) {
            let next_event = self.events.peek().map_or(u64::MAX, |Reverse(event)| event.at);
            let returns = self.changes.next_return().map_or(u64::MAX, |at| at.0);
            let next = next_flow.0.min(next_change.0).min(next_tick.0).min(next_event).min(returns);
            self.now = Nanos(next.max(self.now.0));
            if next == returns {
                self.changes.tick(&mut self.truth, &mut self.balancers, self.now);
            } else if next == next_tick.0 {
                self.tick();
                next_tick = next_tick + TICK;
                if next_tick >= next_report {
                    progress(self.now.since(START).as_secs_f64() / end.since(START).as_secs_f64());
                    next_report = next_report + length.div_f64(100.0);
                }
            } else if next == next_change.0 {
                if self.changes.made < self.setup.changes {
                    self.changes.make(self.setup, &mut self.truth, &mut self.balancers, self.now);
                    next_change = next_change + self.setup.change_every;
                } else {
                    next_change = Nanos(u64::MAX);
                }
            } else if next == next_flow.0 {
                self.flood();
                if self.begun < self.setup.flows {
                    self.begin_flow();
                    next_flow = next_flow + self.random.exponential(between);
                } else {
                    next_flow = Nanos(u64::MAX);
                }
            } else if let Some(Reverse(event)) = self.events.pop() {
                self.happen(event);
            }
        }
        self.finish()
    }

    fn tick(&mut self) {
        for balancer in &mut self.balancers {
            balancer.tick(self.now);
        }
        let control = &self.balancers[0].control;
        let agree = control.generation() == control.acknowledged();
        let state = control.state();
        for backend in &mut self.truth.backends {
            if backend.gone || !(backend.returning || backend.leaving || backend.joining) {
                continue;
            }
            let found = state.find(backend.id).map(|(pool, index)| &state.pools[pool.index()].backends[index]);
            match found {
                Some(known) => {
                    backend.joining &= known.stage == Stage::Joining;
                    backend.unannounced &= !known.counts_as_up;
                    backend.returning &= !(known.as_base && agree);
                }
                None => backend.gone = true,
            }
        }
        self.outcome.look(control);
    }

    fn begin_flow(&mut self) {
        let setup = self.setup;
        let kind = match self.random.unit() {
            share if share < setup.udp => Kind::Udp,
            share if share < setup.udp + setup.quic => Kind::Quic,
            share if share < setup.udp + setup.quic + setup.sticky => Kind::Client(self.random.below(2) as u8),
            _ => Kind::Tcp,
        };
        let flow = Flow::new(self.begun, kind, &mut self.random);
        self.begun += 1;
        // A client of both pools: the same address, so the same hash, and a pin in each.
        if let Kind::Client(pool) = kind {
            let both = Flow { kind: Kind::Client(1 - pool), ..flow.clone() };
            self.place(both);
        }
        self.place(flow);
    }

    fn place(&mut self, flow: Flow) {
        let index = match self.free.pop() {
            Some(index) => {
                self.flows[index as usize] = flow;
                index
            }
            None => {
                self.flows.push(flow);
                self.lives.push(0);
                (self.flows.len() - 1) as u32
            }
        };
        self.outcome.flows += 1;
        self.go_on(index);
    }

    fn schedule(&mut self, flow: u32, extra: Extra, after: Duration) {
        let life = self.lives[flow as usize];
        self.events.push(Reverse(Event { at: (self.now + after).0, flow, extra, life }));
    }

    fn happen(&mut self, event: Event) {
        let index = event.flow as usize;
        let life = self.lives[index];
        // A stray RST of the flow before may come after the next one of its tuple began.
        let stray = event.extra == Extra::LateReset && event.life.wrapping_add(1) == life && self.flows[index].reused;
        if life != event.life && !stray {
            return;
        }
        if event.extra == Extra::Course {
            let flow = &mut self.flows[index];
            if flow.step == Step::Over {
                // What was to happen to the flow before is not about this one.
                self.lives[index] += 1;
                flow.begin_again(&mut self.random);
                self.outcome.flows += 1;
            }
            return self.go_on(event.flow);
        }
        let flow = &self.flows[index];
        let ended = flow.step == Step::Ending || flow.step == Step::Over;
        // A SYN after the client's FIN or RST begins a new flow, whoever sent them: a named exposure.
        let exposed = flow.reset && matches!(event.extra, Extra::LateSyn | Extra::MadeUpSyn);
        if exposed || ended && event.extra != Extra::LateReset {
            return;
        }
        let Some(shape) = flow.extra(event.extra, &mut self.random) else { return };
        // While a flow's backend is down, a SYN of its tuple begins anew elsewhere, whoever sent it.
        let begins_anew = matches!(shape, Shape::Syn(_)) && flow.backend != NOBODY && !self.truth.holds(flow.backend);
        let (source, worker) = (flow.source, self.random.next() as usize);
        let got = self.balancers[0].send(worker, source, shape, self.now);
        self.outcome.packets += 1;
        self.flows[index].reset |= matches!(shape, Shape::Rst(_));
        if begins_anew {
            self.flows[index].backend = NOBODY;
            return;
        }
        // A copy of a first packet that arrives elsewhere opens a second connection, whose answer breaks the first.
        let flow = &self.flows[index];
        if event.extra == Extra::Copy && flow.step != Step::Over && flow.backend != NOBODY {
            self.check(event.flow, got, shape, true);
        }
    }

    /// Sends the next packet of a flow.
    fn go_on(&mut self, index: u32) {
        let idle = self.setup.idle;
        let flow = &mut self.flows[index as usize];
        let shape = flow.packet(&mut self.random);
        // RSS moves a flow once, or not at all.
        if flow.step == Step::Established && self.random.chance(0.03) {
            flow.worker = flow.worker.wrapping_add(1);
        }
        let spread = matches!(flow.kind, Kind::Client(_)) || flow.step == Step::Again && self.random.chance(0.5);
        let worker = if spread { self.random.next() as usize } else { usize::from(flow.worker) };
        let source = flow.source;
        let got = self.balancers[0].send(worker, source, shape, self.now);
        self.outcome.packets += 1;
        self.check(index, got, shape, false);
        let flow = &mut self.flows[index as usize];
        // A worker that is behind may not see the pin that it would mark.
        flow.told |= matches!(shape, Shape::Fin(_) | Shape::Rst(_)) && self.balancers[0].agrees();
        if let Some((extra, after)) = flow.extras(&mut self.random, idle) {
            self.schedule(index, extra, after);
        }
        let flow = &mut self.flows[index as usize];
        match flow.advance(&mut self.random, idle, self.setup.longest_gap) {
            Some(after) => self.schedule(index, Extra::Course, after),
            None => self.end(index),
        }
    }

    fn end(&mut self, index: u32) {
        let is_tcp = self.flows[index as usize].kind == Kind::Tcp;
        if is_tcp && self.random.chance(self.setup.strays) {
            let after = self.random.between(Duration::ZERO, self.setup.idle / 4);
            self.schedule(index, Extra::LateReset, after);
        }
        if is_tcp && self.random.chance(self.setup.reuse) {
            let after = self.random.between(Duration::from_secs(1), self.setup.idle.mul_f64(0.5));
            return self.schedule(index, Extra::Course, after);
        }
        // What still is to happen to this flow is not about the next one of its place.
        self.lives[index as usize] += 1;
        self.free.push(index);
    }

    /// Sends the flood's packets that are due for one new flow.
    fn flood(&mut self) {
        let flood = self.setup.flood;
        let mut due = flood.rate;
        while due > 0.0 && self.random.chance(due) {
            due -= 1.0;
            let source = Source {
                address: 0x7000_0000 + self.random.below(0x0e00_0000) as u32,
                port: 1_024 + self.random.below(60_000) as u16,
            };
            let number = self.random.next() as u32;
            let shape = if self.random.chance(flood.acks) { Shape::Ack(number) } else { Shape::Syn(number) };
            let worker = self.random.next() as usize;
            self.balancers[0].send(worker, source, shape, self.now);
            self.outcome.flood += 1;
        }
    }

    fn finish(mut self) -> Outcome {
        let balancer = &self.balancers[0];
        let drains = self.truth.backends.iter().filter(|backend| backend.drained_since.is_some() || backend.leaving);
        for backend in drains {
            let state = balancer.control.state();
            let empty = backend.gone
                || state
                    .find(backend.id)
                    .is_none_or(|(pool, index)| state.pools[pool.index()].backends[index].is_empty);
            self.outcome.drains.0 += 1;
            self.outcome.drains.1 += u64::from(!empty);
        }
        self.outcome.changes = self.changes.made;
        self.outcome.failed = balancer.count(|pins| pins.failed.get());
        self.outcome.evicted_confirmed = balancer.count(|pins| pins.evicted_confirmed.get());
        self.outcome.evicted_single = balancer.count(|pins| pins.evicted_single.get());
        self.outcome.evicted_embryonic = balancer.count(|pins| pins.evicted_embryonic.get());
        self.outcome.inserted = balancer.count(|pins| pins.inserted.get());
        self.outcome.workers = balancer.workers() as u64;
        self.outcome
    }
}
