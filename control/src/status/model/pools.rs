//! VIPs, pools and backends in `status`.

use super::{CheckDetail, ShareStatus, TrafficStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One VIP.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VipStatus {
    /// The address.
    pub address: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The port, or `any`.
    pub port: String,
    /// The pool that serves it.
    pub pool: String,
    /// Whether any backend may serve it.
    pub serving: bool,
    /// Sent to backends for it.
    #[serde(flatten)]
    pub traffic: TrafficStatus,
}

/// Source ports of one backend: a new connection needs one that is neither in use nor rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourcePortsStatus {
    /// Ports of sessions that are there.
    pub in_use: u64,
    /// Ports of those that ended in the last minute, or a little before.
    pub resting: u64,
    /// How many there are: of all source addresses, at all workers.
    pub total: u64,
}

/// One pool.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Its forwarding mode.
    pub forward: String,
    /// Slots of its table.
    pub table_size: u32,
    /// Slots whose owner differs from the table of all configured backends.
    pub slots_moved: u32,
    /// A digest of the table that workers use: equal tables have equal digests, on every machine.
    pub table_digest: String,
    /// Slots on their way from one backend to another.
    pub transition: TransitionStatus,
    /// Backends in the order of the configuration.
    pub backends: Vec<BackendStatus>,
}

/// Slots of a pool that change, by phase. All zero at rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransitionStatus {
    /// Slots about to change: flows that start there are remembered, and go to the old backend.
    pub armed: u32,
    /// Slots that changed: flows that start there go to the new backend, those from before stay.
    pub transition: u32,
    /// Slots whose flows from before are all remembered, or over.
    pub folded: u32,
    /// Slots that wait for the last remembered flows of other backends.
    pub look: u32,
    /// Slots whose flows from before have another backend than new ones.
    pub differing: u32,
    /// From now until the last deadline that is known; `null`: none is.
    pub until_seconds: Option<f64>,
    /// What a planned change waits for: `pins`, `arming`, or `workers`.
    pub waiting: Option<String>,
    /// Whether new flows go where configuration, operators and health want them, on every worker.
    pub settled: bool,
    /// Which flows are remembered: `transition` or `always`.
    pub tracking: String,
}

/// One backend.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct BackendStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its weight.
    pub weight: u32,
    /// `down`, `held down`; else `joining`, `leaving`, `disabled`, `draining`, `drained`; else `up`, `unknown`.
    pub state: String,
    /// What an operator asked for: `enabled`, `draining`, or `disabled`.
    pub admin: String,
    /// How far it is part of its pool: `joining`, `serving`, `leaving`, or `left`.
    pub stage: String,
    /// Whether it drains and no flow is left on it.
    pub drained: bool,
    /// Whether its flows do not wait for their end.
    pub forced: bool,
    /// Why.
    pub reason: Option<String>,
    /// Since when, as seconds since 1970.
    pub since_unix: f64,
    /// The MAC that its packets are sent to, if it is known.
    pub next_hop_mac: Option<String>,
    /// Slots of the table.
    pub slots: u32,
    /// Flows that are known to be on it: pins of it that the last walk through their table found. Of a slot that does not
    /// change, flows have none.
    pub pins: u32,
    /// Sessions with it now; none unless its pool rewrites addresses.
    #[serde(default)]
    pub sessions: u64,
    /// Its source ports; absent unless its pool is `fullnat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<SourcePortsStatus>,
    /// Sent to it.
    #[serde(flatten)]
    pub traffic: TrafficStatus,
    /// How much of its weight it gets.
    #[serde(flatten)]
    pub share: ShareStatus,
    /// Its checks together; absent if it has none.
    pub check: Option<CheckStatus>,
    /// Each of its checks, and what its agent says.
    pub checks: Vec<CheckDetail>,
}

/// The checks of one backend.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CheckStatus {
    /// Probes sent.
    pub sent: u32,
    /// Probes answered in time.
    pub answered: u32,
    /// Probes failed.
    pub failed: u32,
    /// Probes not judged, since this process was late itself.
    pub void: u32,
    /// The latest round trip.
    pub rtt_microseconds: Option<f64>,
    /// Whether that is more than half of the timeout.
    pub slow: bool,
}
