//! The real-time thread: punts, probes, neighbours, answers. One step is a pass over all of them; it never waits,
//! builds nothing, and is driven by time that is handed in.
//!
//! The order of a step matters: rings are drained before anything expires, so an answer that waited in a ring while
//! this thread was late is judged by the moment when the worker received it, not by when it was looked at.

use crate::checks::{CheckReport, HistoryResult, ProbePath};
use crate::events::{Event, EventSender};
use crate::exception::{KernelPath, Lost, TapReport, User, user};
use crate::health::{CheckNumber, Probe, Prober, Target};
use crate::neighbor::{self, Link, Neighbors};
use crate::path_mtu::{Learned, PathMtus};
use crate::responder::{self, Responder, Verdict};
use crate::suspects::Suspects;
use crate::watch::Watch;
use guideway_config::model::Announce;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{BackendId, LinkId, PoolId, PortId};
use guideway_dataplane::port::{Packet, PacketPool, Port};
use guideway_dataplane::punt::{ControlRings, Inject, InjectRing, Punt, PuntClass};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::ethernet;
use guideway_dataplane::wire::vlan::Tags;
use ipnet::IpNet;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Packets of one class that a step takes from one worker. Probe answers are taken to the last one.
const BATCH: usize = 64;
/// The longest packet of a check, and an Ethernet header before it.
const PROBE_FRAME: usize = ethernet::HEADER_LEN + 1_280;

/// What the real-time thread serves: the same from one reload to the next.
#[derive(Clone, Debug, Default)]
pub struct Duties {
    /// The links that we have an interface on.
    pub links: Vec<Link>,
    /// The port of each link, by [`LinkId`].
    pub ports: Vec<PortId>,
    /// The tags of each link's frames, by [`LinkId`].
    pub tags: Vec<Tags>,
    /// Next hops to resolve.
    pub wanted: Vec<(LinkId, IpAddr)>,
    /// Of these, the ones that share flows with others, which take over when one is gone.
    pub shared: HashSet<(LinkId, IpAddr)>,
    /// Next hops that need no protocol.
    pub statics: Vec<neighbor::Static>,
    /// Virtual addresses and prefixes of them, and who answers for them.
    pub vips: Vec<(IpNet, Announce)>,
    /// Whether this machine drains: whatever tells others that VIPs are here (ARP, NDP, echo; routes to them, once there is
    /// BGP) falls silent.
    pub withdrawn: bool,
    /// Backends to probe.
    pub targets: Vec<Target>,
    /// Where each backend is, by its id; `None` for ids that are not in use.
    pub places: Vec<Option<(PoolId, u16)>>,
    /// The backends whose packets travel inside others, by their addresses.
    pub tunnels: HashMap<IpAddr, Vec<BackendId>>,
}

impl Duties {
    fn port_of(&self, link: LinkId) -> Option<PortId> {
        self.ports.get(link.index()).copied()
    }

    fn tags_of(&self, link: LinkId) -> Tags {
        self.tags.get(link.index()).copied().unwrap_or_default()
    }
}

/// What `status` asks this thread for.
#[derive(Clone, Debug)]
pub struct Report {
    /// Health of the backends that are probed.
    pub health: Vec<(BackendId, crate::health::Status)>,
    /// Totals of the prober.
    pub prober: crate::health::Counters,
    /// Neighbours.
    pub neighbors: Vec<neighbor::Status>,
    /// Totals of the responder.
    pub responder: responder::Counters,
    /// Packets that found the ring to their worker full.
    pub inject_full: u64,
    /// Packets that found no free buffer.
    pub no_buffer: u64,
    /// ICMP errors that spoke of a packet to a backend.
    pub suspicions: u64,
    /// Probes of all checks that were sent out of turn, since something spoke against a backend.
    pub out_of_turn: u64,
    /// Answers to checks that are conversations which found the ring to their thread full.
    pub lost: u64,
    /// The exception path, by TAP device.
    pub taps: Vec<TapReport>,
    /// Which check of its pool the prober does, for each backend that it probes.
    pub numbers: Vec<(BackendId, CheckNumber)>,
    /// The checks that are conversations: their thread tells.
    pub checks: Vec<CheckReport>,
}

/// The state of the real-time thread.
pub struct Rt<P: Port> {
    rings: Vec<ControlRings<P>>,
    watch: Watch,
    outbox: Outbox<P>,
    prober: Prober,
    neighbors: Neighbors,
    responder: Responder,
    path_mtus: PathMtus,
    suspects: Suspects,
    kernel: KernelPath,
    conversations: Option<ProbePath>,
    duties: Duties,
    events: EventSender,
    /// Errors that spoke of a backend.
    suspicions: u64,
}

/// The way down to the workers.
struct Outbox<P: Port> {
    pool: Arc<P::Pool>,
    rings: Vec<Arc<InjectRing<P::Packet>>>,
    inject_full: u64,
    no_buffer: u64,
    /// Where the frames of probes are put together.
    frame: Box<[u8; PROBE_FRAME]>,
}

impl<P: Port> Outbox<P> {
    fn push(&mut self, spread: usize, injection: Inject<P::Packet>) {
        let worker = spread % self.rings.len().max(1);
        if self.rings.get(worker).is_none_or(|ring| ring.push(injection).is_err()) {
            self.inject_full += 1;
        }
    }

    /// Sends a frame onto a link.
    fn frame(&mut self, link: LinkId, frame: &[u8]) {
        match self.pool.alloc(frame) {
            Some(packet) => self.onto(link, packet),
            None => self.no_buffer += 1,
        }
    }

    /// Sends a frame that has its packet. Always by the same worker for a link: frames keep their order.
    fn onto(&mut self, link: LinkId, packet: P::Packet) {
        self.push(link.index(), Inject::Frame { packet, link });
    }

    /// Sends a frame of the kernel as it is, and leaves half of the ring to others. Always by the same worker for a port.
    fn finished(&self, port: PortId, frame: &[u8]) -> Result<(), Lost> {
        let ring = self.rings.get(port.index() % self.rings.len().max(1));
        let ring = ring.filter(|ring| ring.len() < ring.capacity() / 2).ok_or(Lost::InjectFull)?;
        let packet = self.pool.alloc(frame).ok_or(Lost::NoBuffer)?;
        ring.push(Inject::Finished { packet, port }).map_err(|_| Lost::InjectFull)
    }

    /// Sends a packet of the prober the way of traffic to its backend.
    fn probe(&mut self, duties: &Duties, Probe { backend, packet }: Probe<'_>) {
        let Some((pool, index)) = duties.places.get(backend.index()).copied().flatten() else { return };
        let len = ethernet::HEADER_LEN + packet.len();
        let Some(whole) = self.frame.get_mut(..len) else { return };
        let ethertype =
            if packet.first().is_some_and(|first| first >> 4 == 6) { ethernet::TYPE_IPV6 } else { ethernet::TYPE_IPV4 };
        whole[12..14].copy_from_slice(&ethertype.to_be_bytes());
        whole[ethernet::HEADER_LEN..].copy_from_slice(packet);
        match self.pool.alloc(whole) {
            // Probes of different backends spread over the workers, as traffic does.
            Some(packet) => self.push(backend.index(), Inject::ToBackend { packet, pool, index, backend }),
            None => self.no_buffer += 1,
        }
    }
}

impl<P: Port> Rt<P> {
    /// A thread's state that serves nothing yet. `key` is secret and belongs to this process alone.
    #[must_use]
    pub fn new(
        rings: Vec<ControlRings<P>>,
        counters: Vec<Arc<WorkerCounters>>,
        pool: Arc<P::Pool>,
        key: [u8; 16],
        events: EventSender,
    ) -> Self {
        let down = rings.iter().map(|rings| Arc::clone(&rings.inject)).collect();
        Self {
            outbox: Outbox { pool, rings: down, inject_full: 0, no_buffer: 0, frame: Box::new([0; PROBE_FRAME]) },
            watch: Watch::new(rings.iter().map(|rings| Arc::clone(rings.inject.doorbell())).zip(counters)),
            rings,
            prober: Prober::new(key),
            neighbors: Neighbors::new(),
            responder: Responder::new(),
            path_mtus: PathMtus::new(),
            suspects: Suspects::default(),
            kernel: KernelPath::default(),
            conversations: None,
            duties: Duties::default(),
            events,
            suspicions: 0,
        }
    }

    /// The same, with a way to the kernel and back.
    #[must_use]
    pub fn with_kernel(mut self, kernel: KernelPath) -> Self {
        self.kernel = kernel;
        self
    }

    /// The same, with a way for the packets of checks that are conversations.
    #[must_use]
    pub fn with_conversations(mut self, path: ProbePath) -> Self {
        self.conversations = Some(path);
        self
    }

    /// Takes over new duties; what did not change keeps its state.
    ///
    /// # Errors
    ///
    /// [`crate::health::TargetError`] if a target cannot be probed; nothing changed then.
    pub fn configure(&mut self, now: Nanos, duties: Duties) -> Result<(), crate::health::TargetError> {
        self.prober.set_targets(&duties.targets, now)?;
        self.neighbors.configure(now, &duties.links, &duties.wanted, &duties.statics);
        self.neighbors.watch(now, &duties.shared);
        self.responder.configure(now, &duties.links, &duties.vips);
        self.responder.withdraw(duties.withdrawn);
        self.path_mtus.configure(&duties.tunnels.keys().copied().collect());
        self.suspects.configure(&duties.tunnels);
        self.duties = duties;
        Ok(())
    }

    /// The way up to the background thread.
    #[must_use]
    pub fn events(&self) -> EventSender {
        self.events.clone()
    }

    /// One pass. Returns how many packets were handled, in and out.
    pub fn step(&mut self, now: Nanos) -> usize {
        let mut handled = 0;
        for class in PuntClass::ALL {
            handled += self.serve(class, now);
        }
        self.ask_silent(now);
        handled += self.probe(now);
        handled += self.kernel.take(|port, frame| self.outbox.finished(port, frame));
        handled += self.converse();
        let Self { neighbors, responder, outbox, .. } = self;
        let mut emit = |link: LinkId, frame: &[u8]| {
            handled += 1;
            outbox.frame(link, frame);
        };
        neighbors.poll(now, &mut emit);
        responder.poll(now, &mut emit);
        self.report_events(now);
        handled
    }

    /// Sends what the checks' stack has to send.
    fn converse(&mut self) -> usize {
        let Self { conversations, outbox, duties, .. } = self;
        let Some(path) = conversations else { return 0 };
        path.take(|backend, packet| outbox.probe(duties, Probe { backend, packet }))
    }

    fn serve(&mut self, class: PuntClass, now: Nanos) -> usize {
        let most = if class == PuntClass::Probe { class.depth() } else { BATCH };
        let mut handled = 0;
        for worker in 0..self.rings.len() {
            let punts = Arc::clone(&self.rings[worker].punts);
            for _ in 0..most {
                let Some(punt) = punts.ring(class).pop() else { break };
                handled += 1;
                self.receive(class, now, punt);
            }
        }
        handled
    }

    /// Has backends asked at once that did not answer a client.
    fn ask_silent(&mut self, now: Nanos) {
        for worker in 0..self.rings.len() {
            let punts = Arc::clone(&self.rings[worker].punts);
            // As many as there are now: a worker may add to them meanwhile.
            for _ in 0..punts.silent().len() {
                let Some(backend) = punts.silent().pop() else { break };
                self.suspicions += 1;
                self.probe_at_once(now, backend);
            }
        }
    }

    fn receive(&mut self, class: PuntClass, now: Nanos, punt: Punt<P::Packet>) {
        let Punt { mut packet, link, received } = punt;
        if self.share(class, now, link, &packet) == User::Kernel {
            return;
        }
        match class {
            PuntClass::Probe => return self.receive_answer(received, &packet),
            // An unreachable may speak of a probe, or of the path to a backend.
            PuntClass::Icmp => {
                self.receive_answer(received, &packet);
                self.learn_path(now, packet.frame());
                self.suspect(now, packet.frame());
            }
            PuntClass::Neighbor => {
                self.neighbors.receive(received, link, packet.frame());
            }
            PuntClass::Bgp | PuntClass::Other | PuntClass::Exception => {}
        }
        if self.responder.handle(now, link, &mut packet) == Verdict::Reply {
            self.outbox.onto(link, packet);
        }
    }

    /// Gives the kernel a packet that it has a use for, where it has a way to the port. Says who has one.
    fn share(&mut self, class: PuntClass, now: Nanos, link: LinkId, packet: &P::Packet) -> User {
        let Self { kernel, responder, duties, .. } = self;
        let Some(port) = duties.port_of(link).filter(|port| kernel.leads_to(*port)) else { return User::Guideway };
        let user = user(class, packet.frame(), |source, destination| responder.is_of_probe(source, destination));
        if user != User::Guideway {
            kernel.give(now, port, class, packet, duties.tags_of(link));
        }
        user
    }

    fn learn_path(&mut self, now: Nanos, frame: &[u8]) {
        let Self { path_mtus, responder, events, .. } = self;
        if let Some(Learned { backend_address, mtu }) = path_mtus.receive(now, frame, |vip| responder.is_vip(vip)) {
            // A send fails only while the process stops: then nobody needs it.
            let _ = events.send(Event::PathMtu { backend_address, mtu: Some(mtu) });
        }
    }

    fn suspect(&mut self, now: Nanos, frame: &[u8]) {
        let Self { suspects, responder, .. } = self;
        if let Some(backend) = suspects.receive(frame, |vip| responder.is_vip(vip)) {
            self.suspicions += 1;
            self.probe_at_once(now, backend);
        }
    }

    /// Has the checks of a backend ask out of turn, each at most once in its `fast_interval`, and only of a backend that counts
    /// as up with nothing against it: in all other states probes come as fast already, or nothing depends on them.
    fn probe_at_once(&mut self, now: Nanos, backend: BackendId) {
        self.prober.probe_at_once(backend, now);
        if let Some(path) = &self.conversations {
            path.ask_at_once(backend);
        }
    }

    fn receive_answer(&mut self, received: Nanos, packet: &P::Packet) {
        let Self { prober, outbox, duties, conversations, .. } = self;
        let layer_3 = packet.frame().get(ethernet::HEADER_LEN..).unwrap_or(&[]);
        if let Some(path) = conversations {
            path.give(layer_3);
        }
        prober.receive(received, layer_3, &mut |probe| outbox.probe(duties, probe));
    }

    fn probe(&mut self, now: Nanos) -> usize {
        let stalled_until = self.watch.stalled_until(now);
        if let Some(path) = &mut self.conversations {
            path.stalled(stalled_until, now);
        }
        let Self { prober, outbox, duties, .. } = self;
        let mut sent = 0;
        prober.poll(now, stalled_until, &mut |probe| {
            sent += 1;
            outbox.probe(duties, probe);
        });
        sent
    }

    fn report_events(&mut self, now: Nanos) {
        let events = &self.events;
        // A send fails only while the process stops: then nobody needs it.
        while let Some(event) = self.prober.next_event() {
            let _ = events.send(Event::Health(event));
        }
        for change in self.neighbors.changes() {
            let _ = events.send(Event::Neighbor(change));
        }
        for conflict in self.responder.conflicts() {
            let _ = events.send(Event::Conflict(conflict));
        }
        while let Some(backend_address) = self.path_mtus.forget_next(now) {
            let _ = events.send(Event::PathMtu { backend_address, mtu: None });
        }
    }

    /// Forgets what was learnt on the links of a port that went down.
    pub fn port_down(&mut self, now: Nanos, port: PortId) {
        self.neighbors.flush(now, |link| self.duties.port_of(link) == Some(port));
    }

    /// Asks for the next hops on a port's links anew and tells them again who is here: the port came back.
    pub fn port_up(&mut self, now: Nanos, port: PortId) {
        let here = |link| self.duties.port_of(link) == Some(port);
        self.neighbors.flush(now, here);
        self.responder.announce(now, here);
    }

    /// The last results of a backend that is probed, and which check of its pool they are of.
    #[must_use]
    pub fn history(&self, backend: BackendId, now: Nanos) -> Option<(CheckNumber, Vec<HistoryResult>)> {
        self.prober.history(backend, now)
    }

    /// What `status` shows of this thread.
    #[must_use]
    pub fn report(&self, now: Nanos) -> Report {
        let health = |target: &Target| Some((target.backend, self.prober.status(target.backend)?));
        Report {
            health: self.duties.targets.iter().filter_map(health).collect(),
            prober: *self.prober.counters(),
            neighbors: self.neighbors.status(now).collect(),
            responder: self.responder.counters(),
            inject_full: self.outbox.inject_full,
            no_buffer: self.outbox.no_buffer,
            suspicions: self.suspicions,
            out_of_turn: self.prober.counters().out_of_turn
                + self.conversations.as_ref().map_or(0, ProbePath::out_of_turn),
            lost: self.conversations.as_ref().map_or(0, ProbePath::lost),
            taps: self.kernel.report(),
            numbers: self.duties.targets.iter().map(|target| (target.backend, target.number)).collect(),
            checks: Vec::new(),
        }
    }
}
