//! The background side's core: takes events over into the state, and publishes what follows from them.

use crate::devices::Devices;
use crate::events::Event;
use crate::health::{HealthEvent, Transition};
use crate::neighbor::Change;
use crate::reconcile::reconcile;
use crate::responder::Conflict;
use crate::state::{BackendHealth, State};
use crate::topology::link_name;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{LinkId, PortId};
use guideway_dataplane::snapshot::SnapshotPublisher;
use guideway_dataplane::wire::ethernet::format_mac;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tracing::{info, warn};

/// How long a conflict is shown after it was last seen.
const CONFLICT_SHOWN: Duration = Duration::from_secs(60);

/// Desired state, the way to the workers, and what they count.
pub struct Control {
    state: State,
    publisher: SnapshotPublisher,
    counters: Vec<Arc<WorkerCounters>>,
    devices: Arc<dyn Devices>,
    started: Instant,
    conflicts: HashMap<(LinkId, IpAddr), (Conflict, Instant)>,
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
        Self { state, publisher, counters, devices, started: Instant::now(), conflicts: HashMap::new() }
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
            Event::Neighbor(Change { link, address, mac }) => {
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
        let health = match event.transition {
            Transition::Up => BackendHealth::Up,
            Transition::Down => BackendHealth::Down,
        };
        let changed = self.state.set_health(event.backend, health, event.reason, SystemTime::now());
        if changed && let Some((pool, index)) = self.state.find(event.backend) {
            let pool = &self.state.config.pools[pool.index()];
            let backend = &pool.backends[index];
            let (transition, reason) = (event.transition, event.reason);
            info!(backend = %format_args!("{}/{}", pool.name, backend.name), address = %backend.address, %reason, "{transition}");
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
            info!(port = %name, "link {}", if up { "up" } else { "down" });
        }
        changed
    }

    /// Builds what changed and gives it to the workers. Returns the generation to wait for.
    pub fn publish(&mut self) -> u64 {
        let snapshot = reconcile(&mut self.state);
        self.publisher.publish(snapshot)
    }

    /// Frees snapshots that no worker uses any more.
    pub fn reclaim(&mut self) {
        self.publisher.reclaim();
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
