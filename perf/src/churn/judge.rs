//! Holds where packets went against where their flows are.

use super::balancer::{Balancer, Sent};
use super::change::is_settled;
use super::flow::{Kind, NOBODY, Step};
use super::outcome::Violation;
use super::packet::{Shape, Source};
use super::truth::{Number, Truth};
use super::world::World;
use guideway_control::state::Stage;
use guideway_dataplane::ids::BackendId;

impl World<'_> {
    /// Holds where a packet went against where its flow is.
    pub(super) fn check(&mut self, index: u32, sent: Option<Sent>, shape: Shape, copy: bool) {
        let now = self.now;
        let got = sent.and_then(|sent| self.truth.who(sent.backend));
        let flow = &mut self.flows[index as usize];
        let live = flow.backend != NOBODY && now.since(flow.last) <= self.setup.idle;
        if !copy {
            flow.last = now;
        }
        let (Some(got), Some(sent)) = (got, sent) else {
            self.outcome.violation(Violation::Dropped);
            return;
        };
        let there = self.truth.get(got);
        if there.joining {
            self.outcome.violation(Violation::SentToTheJoining);
        }
        if !there.up {
            if is_settled(there.down_since, now, self.setup) {
                self.outcome.violation(Violation::SentToTheDead);
            }
            // Lost on the way: its worker did not know yet.
            self.outcome.void += 1;
            flow.backend = NOBODY;
            return;
        }
        if there.unannounced && flow.backend != got {
            // Of a worker that did not know of the death: what it sends there may be lost.
            self.outcome.void += 1;
            flow.backend = NOBODY;
            return;
        }
        if live && flow.backend != got {
            if self.truth.holds(flow.backend) {
                if !flow.broken {
                    // A stray RST of its tuple, then a SYN of it: a new flow, for all that can be known here.
                    let exposed = flow.reset && matches!(shape, Shape::Syn(_));
                    if exposed { self.outcome.exposed += 1 } else { self.outcome.moved(flow.kind, copy) }
                }
                flow.broken = true;
            } else {
                self.outcome.lost += 1;
            }
        }
        let starts = !live && flow.step == Step::Start && matches!(shape, Shape::Syn(_));
        if starts && flow.reused && flow.told {
            let state = self.balancers[0].control.state();
            let known = state.find(there.id).map(|(pool, index)| &state.pools[pool.index()].backends[index]);
            // No slot leads there any more: only a pin can.
            let unused = known.is_some_and(|known| {
                known.unused_since.is_some_and(|since| now.since(since) > self.setup.slowest_adoption)
            });
            if unused {
                self.outcome.violation(Violation::StartOnDrained);
            }
        }
        if flow.step == Step::Start {
            flow.told = false;
        }
        flow.backend = got;
        self.compare(index, sent, shape, live);
    }

    /// The same for plain Maglev, and for another machine of the fleet.
    fn compare(&mut self, index: u32, sent: Sent, shape: Shape, live: bool) {
        let flow = &mut self.flows[index as usize];
        if matches!(flow.kind, Kind::Client(_)) {
            return;
        }
        let who = |truth: &Truth, id: Option<BackendId>| id.and_then(|id| truth.who(id)).unwrap_or(NOBODY);
        let plain = who(&self.truth, self.balancers[0].plain(sent.hash));
        let kept = !live || flow.plain == NOBODY || flow.plain == plain || !self.truth.holds(flow.plain);
        if !kept && !flow.plain_broken {
            flow.plain_broken = true;
            self.outcome.plain += 1;
        }
        flow.plain = plain;
        if live && self.random.chance(0.01) {
            let source = flow.source;
            let backend = flow.backend;
            self.visit(source, shape, backend);
        }
    }

    /// Asks what the other machine of the fleet would do with the flow.
    fn visit(&mut self, source: Source, shape: Shape, backend: Number) {
        let here = &self.truth.get(backend);
        let (pool, name) = (here.pool, here.name.as_str());
        if !self.truth.holds(backend) {
            return;
        }
        let (_, steady_here) = self.balancers[0].peek(source, shape);
        let (there, steady) = self.balancers[1].peek(source, shape);
        // Only while both machines have the same backends and nothing else to do: one may wait for pins that the other has
        // not.
        let settled = |balancer: &Balancer| balancer.control.state().pools[0].plan.is_settled() && balancer.agrees();
        let known = |balancer: &Balancer| -> Vec<(BackendId, Stage, bool)> {
            let backends = &balancer.control.state().pools[0].backends;
            backends.iter().map(|backend| (backend.id, backend.stage, backend.as_base)).collect()
        };
        if !self.balancers.iter().all(settled) || known(&self.balancers[0]) != known(&self.balancers[1]) {
            return;
        }
        let state = self.balancers[1].control.state();
        let same = there.and_then(|id| state.find(id)).is_some_and(|(found, index)| {
            found.index() == pool && state.config.pools[pool].backends[index].name == name
        });
        let steady = steady && steady_here;
        let visits = if steady { &mut self.outcome.fleet_steady } else { &mut self.outcome.fleet_special };
        visits.0 += 1;
        visits.1 += u64::from(!same);
    }
}
