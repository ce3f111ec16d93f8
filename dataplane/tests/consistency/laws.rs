//! The laws: under any history whose phases last as long as they must, no live flow whose backend stays eligible changes
//! backend, whichever workers its packets meet.

use crate::histories::{Change, History, a_change};
use crate::rig::{ARM, IDLE, NONE, Rig};
use guideway_dataplane::consistency::{Phase, Role, Rules};
use guideway_dataplane::hash::FlowHash;
use proptest::prelude::*;

const START: u16 = 8_150;
const CLIENTS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A client's next packet; `again`: the SYN once more, if that is what it sent last.
    Packet {
        worker: usize,
        client: usize,
        again: bool,
    },
    /// FIN, and the next packet begins another flow of the same name.
    Finish {
        worker: usize,
        client: usize,
    },
    /// The network delivers a SYN once more, long after the flow was established.
    Duplicate {
        worker: usize,
        client: usize,
    },
    Adopt(usize),
    Change(Change),
    Pass(u16),
}

fn an_event() -> impl Strategy<Value = Event> {
    let worker = 0..2_usize;
    let client = 0..CLIENTS;
    prop_oneof![
        12 => (worker.clone(), client.clone(), any::<bool>())
            .prop_map(|(worker, client, again)| Event::Packet { worker, client, again }),
        1 => (worker.clone(), client.clone()).prop_map(|(worker, client)| Event::Finish { worker, client }),
        1 => (worker.clone(), client).prop_map(|(worker, client)| Event::Duplicate { worker, client }),
        4 => worker.prop_map(Event::Adopt),
        4 => a_change().prop_map(Event::Change),
        4 => (1..=2_u16).prop_map(Event::Pass),
    ]
}

/// The flow that a client has.
#[derive(Clone, Copy, Default)]
struct Flow {
    /// Where its packets went.
    backend: Option<u16>,
    /// Whether that was not eligible for a while: then the law says nothing.
    is_free: bool,
    /// When it sent its first and its latest packet.
    first: u16,
    last: u16,
    /// Packets.
    sent: u32,
}

/// Clients take turns with names: what is idle for too long never comes back under its name.
struct Client {
    udp: bool,
    hash: u128,
    sequence: u32,
    flow: Flow,
}

struct World {
    rig: Rig,
    history: History,
    now: u16,
    /// When an insertion was found to have failed.
    failed: u16,
    clients: Vec<Client>,
}

impl Client {
    fn new(number: usize) -> Self {
        Self { udp: number == 0, hash: number as u128, sequence: 1_000, flow: Flow::default() }
    }

    fn next_role(&self, again: bool, now: u16) -> Role {
        let Flow { first, sent, .. } = self.flow;
        match sent {
            _ if self.udp => Role::Datagram,
            0 => Role::Syn { sequence: self.sequence },
            // `arm_time` covers what is sent again within it.
            1 if again && now - first <= ARM => Role::Syn { sequence: self.sequence },
            _ => self.segment(false),
        }
    }

    /// A segment; a megabyte on from the fourth packet.
    fn segment(&self, closes: bool) -> Role {
        let on = if self.flow.sent > 3 { 1 << 20 } else { 1 };
        Role::Segment { sequence: self.sequence.wrapping_add(on), closes }
    }
}

impl World {
    fn new() -> Self {
        let clients = (0..CLIENTS).map(Client::new).collect();
        Self { rig: Rig::new(Rules::ALL, 256), history: History::new(START, true), now: START, failed: 0, clients }
    }

    /// Where a worker sends a packet of the client; the second one's clock is a tick behind.
    fn deliver(&self, worker: usize, client: usize, role: Role) -> u16 {
        let hash = self.clients[client].hash;
        self.rig.packet(self.history.state(worker), FlowHash(hash | hash << 40), role, self.now - worker as u16)
    }

    fn send(&mut self, worker: usize, client: usize, role: impl FnOnce(&Client) -> Role) -> Result<(), TestCaseError> {
        let now = self.now;
        let idle = now - self.clients[client].flow.last;
        if idle > IDLE {
            let known = &mut self.clients[client];
            known.hash += CLIENTS as u128;
            known.flow = Flow::default();
        }
        let role = role(&self.clients[client]);
        let backend = self.deliver(worker, client, role);
        let known = [self.history.state(0), self.history.state(1), self.history.latest()];
        let flow = &mut self.clients[client].flow;
        if let Some(before) = flow.backend.filter(|_| !flow.is_free) {
            prop_assert_eq!(backend, before, "client {} at tick {}", client, now);
        }
        if flow.sent == 0 {
            flow.first = now;
        }
        let eligible = |backend: u16| known.iter().all(|state| state.eligible[usize::from(backend)]);
        flow.is_free |= backend == NONE || !eligible(backend);
        (flow.backend, flow.last, flow.sent) = (Some(backend), now, flow.sent + 1);
        Ok(())
    }

    fn change(&mut self, change: Change) {
        let (rig, now) = (&self.rig, self.now);
        if rig.failed.take(0) {
            self.failed = now;
        }
        let failed = self.failed;
        self.history.change(change, now, |state| match state.phase {
            Phase::Look => rig.sweep_of(state.base, now).is_empty(),
            // Put off by T: until then, flows get pins at each packet.
            _ => now - failed > IDLE,
        });
        // Until a worker knows of a death, it sends to the dead, whatever the rules: no law is about that.
        if matches!(change, Change::Death(_)) {
            (0..2).for_each(|worker| self.history.adopt(worker, now));
        }
        let latest = self.history.latest();
        for client in &mut self.clients {
            let backend = client.flow.backend.filter(|backend| *backend != NONE);
            client.flow.is_free |= backend.is_some_and(|backend| !latest.eligible[usize::from(backend)]);
        }
    }

    fn happens(&mut self, event: Event) -> Result<(), TestCaseError> {
        let now = self.now;
        match event {
            Event::Packet { worker, client, again } => {
                self.send(worker, client, |client| client.next_role(again, now))?;
            }
            Event::Finish { worker, client } if !self.clients[client].udp && self.clients[client].flow.sent > 1 => {
                if now - self.clients[client].flow.last > IDLE {
                    return Ok(());
                }
                self.send(worker, client, |client| client.segment(true))?;
                let client = &mut self.clients[client];
                client.flow = Flow { last: now, ..Flow::default() };
                client.sequence = client.sequence.wrapping_add(50 << 17);
            }
            Event::Duplicate { worker, client } if !self.clients[client].udp && self.clients[client].flow.sent > 4 => {
                let syn = Role::Syn { sequence: self.clients[client].sequence };
                self.deliver(worker, client, syn);
            }
            Event::Finish { .. } | Event::Duplicate { .. } => {}
            Event::Adopt(worker) => self.history.adopt(worker, now),
            Event::Change(change) => self.change(change),
            Event::Pass(ticks) => {
                self.now += ticks;
                self.rig.sweep(self.now);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn live_flows_stay(events in prop::collection::vec(an_event(), 1..160)) {
        let mut world = World::new();
        for event in events {
            world.happens(event)?;
        }
    }
}
