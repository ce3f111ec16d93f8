//! The background side's core: takes events over into the state, and publishes what follows from them.

use crate::audit::{Audit, Author, author};
use crate::consistency::sweeper::{Sweeper, Swept};
use crate::devices::Devices;
use crate::drain::NodeDrain;
use crate::events::Event;
use crate::health::HealthEvent;
use crate::neighbor;
use crate::reconcile::reconcile;
use crate::reload::{Plan, Refusal, Remedy};
use crate::responder::Conflict;
use crate::source_ports::{PortUse, SourcePorts};
use crate::state::{Admin, BackendHealth, Change, ChangeError, Moment, Stage, State};
use crate::status::model::TrafficStatus;
use crate::topology::link_name;
use crate::traffic::Beginnings;
use guideway_config::model;
use guideway_dataplane::consistency::Rule;
use guideway_dataplane::counters::{Counter, WorkerCounters};
use guideway_dataplane::doorbell::Doorbell;
use guideway_dataplane::ids::{BackendId, LinkId, PortId, VipId};
use guideway_dataplane::observe::{CaptureTap, Observe};
use guideway_dataplane::snapshot::SnapshotPublisher;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::ethernet::format_mac;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tracing::{info, warn};

/// How long a conflict is shown after it was last seen.
const CONFLICT_SHOWN: Duration = Duration::from_secs(60);

/// Share of the pin table above which no planned change begins.
pub const CROWDED_PERCENT: u64 = 60;

/// Desired state, the way to the workers, and what they count.
pub struct Control {
    pub(crate) state: State,
    publisher: SnapshotPublisher,
    /// Of workers that may sleep.
    doorbells: Vec<Arc<Doorbell>>,
    counters: Vec<Arc<WorkerCounters>>,
    beginnings: Beginnings,
    source_ports: SourcePorts,
    devices: Arc<dyn Devices>,
    started: Instant,
    /// The same by the calendar.
    started_at: SystemTime,
    conflicts: HashMap<(LinkId, IpAddr), (Conflict, Instant)>,
    sweeper: Sweeper,
    /// Pins that workers had inserted when the last whole sweep began, and when the one under way did.
    inserted: (u64, u64),
    /// The generation that began without pins: those that workers wrote before it are cleared once all of them use it.
    clearing: Option<u64>,
    /// The configuration file as it was read last.
    pub(crate) file: Arc<model::Config>,
    /// Why changes at run time could not be kept, if they could not.
    pub(crate) unsaved: Option<String>,
    /// The drain of the machine, if one is under way.
    pub(crate) drain: Option<NodeDrain>,
    /// What workers look for beside their work.
    observe: Observe,
    pub(crate) audit: Audit,
}

impl Control {
    /// The control of workers that use what `publisher` publishes.
    #[must_use]
    pub fn new(
        state: State,
        publisher: SnapshotPublisher,
        counters: Vec<Arc<WorkerCounters>>,
        devices: Arc<dyn Devices>,
    ) -> Self {
        let mut state = state;
        let file = Arc::clone(&state.config);
        state.published(publisher.generation());
        // Nobody had the first ids before.
        state.take_fresh();
        Self {
            state,
            file,
            publisher,
            doorbells: Vec::new(),
            counters,
            beginnings: Beginnings::default(),
            source_ports: SourcePorts::default(),
            devices,
            started: Instant::now(),
            started_at: SystemTime::now(),
            conflicts: HashMap::new(),
            sweeper: Sweeper::default(),
            inserted: (0, 0),
            clearing: None,
            drain: None,
            unsaved: None,
            observe: Observe::default(),
            audit: Audit::default(),
        }
    }

    /// The same, waking workers that sleep by these when they must learn of a snapshot.
    #[must_use]
    pub fn with_doorbells(mut self, doorbells: Vec<Arc<Doorbell>>) -> Self {
        self.doorbells = doorbells;
        self
    }

    /// The same, writing down what is asked for there.
    #[must_use]
    pub fn with_audit(mut self, audit: Audit) -> Self {
        self.observe.connections = audit.tap().cloned();
        self.audit = audit;
        if self.observe.any() {
            self.publish();
        }
        self
    }

    /// What is written down.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The same, to go on with it.
    pub fn audit_mut(&mut self) -> &mut Audit {
        &mut self.audit
    }

    /// Takes what workers told of connections to the log. Returns whether there may be more.
    pub fn log_connections(&mut self, now: Nanos) -> bool {
        self.audit.take_connections(&self.state, now)
    }

    /// The desired state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The workers' counters, by worker.
    #[must_use]
    pub fn counters(&self) -> &[Arc<WorkerCounters>] {
        &self.counters
    }

    /// Where the counting of VIPs and backends began.
    pub(crate) const fn beginnings(&self) -> &Beginnings {
        &self.beginnings
    }

    /// What was sent for a VIP since it is there.
    #[must_use]
    pub fn vip_traffic(&self, id: VipId) -> TrafficStatus {
        self.beginnings.of_vip(&self.counters, id)
    }

    /// What was sent to a backend since it is there.
    #[must_use]
    pub fn backend_traffic(&self, id: BackendId) -> TrafficStatus {
        self.beginnings.of_backend(&self.counters, id)
    }

    /// The devices.
    #[must_use]
    pub fn devices(&self) -> &dyn Devices {
        &*self.devices
    }

    /// Time since start.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// When this process started, by the calendar.
    #[must_use]
    pub const fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// The latest snapshot published.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.publisher.generation()
    }

    /// The latest snapshot that every worker uses.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.publisher.acknowledged()
    }

    /// Takes over what happened. Returns whether workers must learn of it: [`Control::publish`].
    pub fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::Health(event) => self.apply_health(event),
            Event::Advice { backend, advice, at } => {
                let share = self.state.set_advice(backend, advice, at);
                self.state.agent_says(backend, advice, at, SystemTime::now()) || share
            }
            Event::Neighbor(neighbor::Change { link, address, mac }) => {
                let changed = self.state.set_neighbor(link, address, mac);
                if changed {
                    let link = link_name(&self.state.config, link);
                    let mac = mac.map_or_else(|| "no longer known".to_owned(), format_mac);
                    info!(%link, %address, %mac, "next hop");
                }
                changed
            }
            Event::Conflict(conflict) => {
                let (address, mac) = (conflict.address, format_mac(conflict.mac));
                warn!(%address, %mac, "another machine claims this address");
                self.conflicts.retain(|_, (_, seen)| seen.elapsed() < CONFLICT_SHOWN);
                self.conflicts.insert((conflict.link, address), (conflict, Instant::now()));
                false
            }
            Event::PathMtu { backend_address, mtu } => {
                match mtu {
                    Some(mtu) => info!(address = %backend_address, mtu, "path MTU"),
                    None => info!(address = %backend_address, "path MTU forgotten"),
                }
                self.state.set_path_mtu(backend_address, mtu)
            }
        }
    }

    fn apply_health(&mut self, event: HealthEvent) -> bool {
        let found = self.state.find(event.backend);
        let before = found.map(|(pool, index)| self.state.pools[pool.index()].backends[index].health);
        let changed = self.state.judge(&event, SystemTime::now());
        if changed && let Some((pool, index)) = found {
            let health = self.state.pools[pool.index()].backends[index].health;
            let pool = &self.state.config.pools[pool.index()];
            let backend = &pool.backends[index];
            let (transition, reason) = (event.transition, event.reason);
            info!(backend = %format_args!("{}/{}", pool.name, backend.name), address = %backend.address, %reason, "{transition}");
            let what = format!("backend {}/{}", pool.name, backend.name);
            let from = before.map_or(Value::Null, |health| json!({ "health": health_label(health) }));
            let to = json!({ "health": health_label(health), "reason": reason.to_string() });
            author::sync_scope(Author::Health, || self.audit.changed(what, "health", from, to));
        }
        changed
    }

    /// Takes over whether a port's link is up. Returns whether that is new.
    pub fn set_link(&mut self, port: PortId, up: bool) -> bool {
        let Some(state) = self.state.ports.get_mut(port.index()) else { return false };
        let changed = state.up != up;
        if changed {
            state.up = up;
            let name = &self.state.config.ports[port.index()].name;
            let label = |up| if up { "up" } else { "down" };
            info!(port = %name, "link {}", label(up));
            let what = format!("port {name}");
            self.audit.changed(what, "link", json!({ "link": label(!up) }), json!({ "link": label(up) }));
        }
        changed
    }

    /// Takes over what an operator asks for: [`Control::step`] goes on with it.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing changed then.
    pub fn change(&mut self, pool: &str, backend: &str, change: Change, now: Nanos) -> Result<(), ChangeError> {
        let before = self.wanted(pool, backend);
        self.state.change(pool, backend, change, now)?;
        let after = self.wanted(pool, backend);
        self.audit.changed(format!("backend {pool}/{backend}"), change.label(), before, after);
        info!(backend = %format_args!("{pool}/{backend}"), ?change, "asked for");
        Ok(())
    }

    /// Adds a backend to a pool.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing changed then.
    pub fn add(&mut self, pool: &str, backend: model::Backend) -> Result<(), ChangeError> {
        let (name, address) = (backend.name.clone(), backend.address);
        self.state.add(pool, backend, SystemTime::now())?;
        info!(backend = %format_args!("{pool}/{name}"), %address, "added");
        let after = self.wanted(pool, &name);
        self.audit.changed(format!("backend {pool}/{name}"), "add", Value::Null, after);
        Ok(())
    }

    /// What is wanted of a backend, for the log of changes; null if there is none.
    fn wanted(&self, pool: &str, backend: &str) -> Value {
        let state = &self.state;
        let found = state.pool_named(pool).and_then(|pool| Ok((pool, state.backend_named(pool, backend)?)));
        let Ok((pool, index)) = found else { return Value::Null };
        let (of_state, of_config) = (&state.pools[pool].backends[index], &state.config.pools[pool].backends[index]);
        let admin = match of_state.admin {
            _ if of_state.stage == Stage::Leaving => "leaving",
            Admin::Enabled => "enabled",
            Admin::Drained => "draining",
            Admin::Disabled => "disabled",
        };
        json!({
            "address": of_config.address,
            "admin": admin,
            "weight": of_config.weight,
            "forced": of_state.forced,
        })
    }

    /// Makes the state follow another file: [`Control::step`] goes on with it. A plan that makes slots anew is published
    /// here.
    ///
    /// # Errors
    ///
    /// What stands against it now; nothing changed then.
    pub fn reload(&mut self, plan: &Plan, now: Nanos) -> Result<(), Vec<Refusal>> {
        self.reload_state(plan, now)?;
        if !plan.lines.is_empty() {
            let to = json!({ "disruptive": plan.anew, "changes": plan.lines });
            self.audit.changed("configuration".to_owned(), "reload", Value::Null, to);
        }
        Ok(())
    }

    fn reload_state(&mut self, plan: &Plan, now: Nanos) -> Result<(), Vec<Refusal>> {
        let wall = SystemTime::now();
        if !plan.anew {
            self.state.reload(plan, now, wall)?;
            self.file = Arc::new(plan.target.clone());
            if !plan.keeps.iter().all(|keeps| *keeps) {
                // A walk notes what it found by the places of pools, which are others now.
                self.sweeper.rest(now);
            }
            return Ok(());
        }
        let renewed = self.state.renew(Arc::new(plan.target.clone()), wall);
        renewed.map_err(|error| vec![Refusal { reason: error.to_string(), remedy: Remedy::Other }])?;
        self.file = Arc::new(plan.target.clone());
        let generation = self.publish();
        self.clearing = Some(generation);
        self.forget_pins(now);
        Ok(())
    }

    fn forget_pins(&mut self, now: Nanos) {
        self.sweeper.forget(now);
        let inserted = self.inserted_pins();
        self.inserted = (inserted, inserted);
    }

    /// The state, for changes that have no call of their own; [`Control::step`] goes on with them.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Whether backends came or went since the last call: then the real-time thread is to be told its duties.
    pub fn take_duties_stale(&mut self) -> bool {
        self.state.take_duties_stale()
    }

    /// What the last whole sweep of the pin table found.
    #[must_use]
    pub const fn swept(&self) -> &Swept {
        self.sweeper.last()
    }

    /// Pins in use, as far as is known between two sweeps: never too few.
    #[must_use]
    pub fn pins_in_use(&self) -> u64 {
        self.sweeper.last().live as u64 + self.inserted_pins().saturating_sub(self.inserted.0)
    }

    fn inserted_pins(&self) -> u64 {
        self.counters.iter().map(|counters| counters.pins.inserted.get()).sum()
    }

    /// Goes on with everything that waits for time, for workers or for a sweep, and publishes what workers must learn. To
    /// be called often: what it waits for is seen when it looks. Returns whether it published.
    pub fn step(&mut self, now: Nanos) -> bool {
        let acknowledged = self.publisher.acknowledged();
        self.state.acknowledge(acknowledged, now);
        if self.clearing.is_some_and(|generation| generation <= acknowledged) {
            self.clearing = None;
            self.state.pins.clear();
            self.forget_pins(now);
        }
        self.sweep(now);
        self.source_ports.step(&self.state, &self.counters, now);
        let workers_agree = acknowledged == self.publisher.generation();
        let hasty = !self.state.rules.hold(Rule::WorkersAgree);
        let crowded = self.pins_in_use() * 100 > self.state.pins.capacity() as u64 * CROWDED_PERCENT;
        let changed = self.state.step(Moment { now, acknowledged: workers_agree || hasty, crowded });
        if changed {
            self.publish();
        }
        if hasty {
            self.state.acknowledge(self.publisher.generation(), now);
        }
        changed
    }

    fn sweep(&mut self, now: Nanos) {
        let unused = self.sweeper.last().live == 0 && self.inserted_pins() == self.inserted.1;
        if unused && !self.state.needs_sweeps() {
            return self.sweeper.rest(now);
        }
        let inserted = self.inserted_pins();
        if self.sweeper.is_beginning() {
            self.inserted.1 = inserted;
        }
        if self.sweeper.step(&self.state, now) {
            self.inserted.0 = self.inserted.1;
            let counters = &self.counters;
            let sessions = |id| u32::try_from(sessions_of(counters, id)).unwrap_or(u32::MAX);
            self.state.swept(&self.sweeper, sessions);
        }
    }

    /// Builds what changed and gives it to the workers. Returns the generation to wait for.
    pub fn publish(&mut self) -> u64 {
        let (vips, backends) = self.state.take_fresh();
        self.beginnings.begin(&self.counters, &vips, &backends);
        let mut snapshot = reconcile(&mut self.state);
        snapshot.observe = self.observe.any().then(|| Arc::new(self.observe.clone()));
        let generation = self.publisher.publish(snapshot);
        self.doorbells.iter().for_each(|doorbell| doorbell.ring());
        self.state.published(generation);
        generation
    }

    /// Makes workers look for packets. Returns whether they do: they serve one capture at a time.
    pub fn begin_capture(&mut self, tap: Arc<CaptureTap>) -> bool {
        let free = self.observe.capture.is_none();
        if free {
            self.observe.capture = Some(tap);
            self.publish();
        }
        free
    }

    /// Makes workers look for packets no more.
    pub fn end_capture(&mut self) {
        self.observe.capture = None;
        self.publish();
    }

    /// Frees snapshots that no worker uses any more.
    pub fn reclaim(&mut self) {
        self.publisher.reclaim();
    }

    /// Source ports of a backend at an address in a pool; `None`: the pool is not `fullnat`.
    #[must_use]
    pub fn source_ports_of(&self, pool: &model::Pool, address: IpAddr, id: BackendId) -> Option<PortUse> {
        self.source_ports.of(pool, address, id, &self.counters)
    }

    /// Backends that have few source ports left, as warnings.
    #[must_use]
    pub fn crowded_source_ports(&self) -> Vec<String> {
        self.source_ports.warnings().collect()
    }

    /// Who claims our addresses, as warnings.
    #[must_use]
    pub fn conflicts(&self) -> Vec<String> {
        let recent = self.conflicts.values().filter(|(_, seen)| seen.elapsed() < CONFLICT_SHOWN);
        recent
            .map(|(conflict, _)| format!("{} is also claimed by {}", conflict.address, format_mac(conflict.mac)))
            .collect()
    }
}

/// A backend's health, as `status` has it.
const fn health_label(health: BackendHealth) -> &'static str {
    match health {
        BackendHealth::Unknown => "unknown",
        BackendHealth::Up => "up",
        BackendHealth::Down => "down",
    }
}

/// Sessions with a backend, at all workers.
pub(crate) fn sessions_of(counters: &[Arc<WorkerCounters>], id: BackendId) -> u64 {
    counters.iter().map(|counters| counters.sessions_of(id).map_or(0, Counter::get)).sum()
}
