//! What `guideway status --json` and `GET /v1/status` give. Counts are since start, times in the unit of their name.

use crate::devices::DeviceCounters;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Time since start.
    pub uptime_seconds: f64,
    /// The latest snapshot published.
    pub generation: u64,
    /// The latest snapshot that every worker uses.
    pub acknowledged_generation: u64,
    /// VIPs in the order of the configuration.
    pub vips: Vec<VipStatus>,
    /// Pools in the order of the configuration.
    pub pools: Vec<PoolStatus>,
    /// Ports in the order of the configuration.
    pub ports: Vec<PortStatus>,
    /// Workers in the order of the configuration.
    pub workers: Vec<WorkerStatus>,
    /// Next hops.
    pub neighbors: Vec<NeighborStatus>,
    /// The exception path, by TAP device.
    pub exception: Vec<TapStatus>,
    /// Packets in and packets accounted for, over all workers.
    pub packets: Totals,
    /// Drops by reason, over all workers; reasons that never happened are left out.
    pub drops: BTreeMap<String, u64>,
    /// Packets given to the control side, by class.
    pub punted: BTreeMap<String, u64>,
    /// The control side itself.
    pub control: ControlStatus,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficStatus {
    /// Packets.
    pub packets: u64,
    /// Bytes of frames.
    pub bytes: u64,
}

/// One VIP.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// One pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Backends in the order of the configuration.
    pub backends: Vec<BackendStatus>,
}

/// One backend.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its weight.
    pub weight: u32,
    /// `unknown`, `up`, `down`, or `held down`.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when, as seconds since 1970.
    pub since_unix: f64,
    /// The MAC that its packets are sent to, if it is known.
    pub next_hop_mac: Option<String>,
    /// Slots of the table.
    pub slots: u32,
    /// Sent to it.
    #[serde(flatten)]
    pub traffic: TrafficStatus,
    /// Its checks; absent if it has none.
    pub check: Option<CheckStatus>,
}

/// The checks of one backend.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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

/// One port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortStatus {
    /// Its name.
    pub name: String,
    /// Its device, as configured.
    pub device: String,
    /// Its driver.
    pub driver: String,
    /// Its hardware address.
    pub mac: String,
    /// Whether its link is up.
    pub link_up: bool,
    /// What the device counts.
    #[serde(flatten)]
    pub counters: DeviceCounters,
}

/// One worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its core.
    pub core: usize,
    /// Share of its time in polls that found something, 0 to 1.
    pub busy_share: f64,
    /// Mean packets in a burst that had any.
    pub burst_fill: f64,
    /// Polls.
    pub polls: u64,
    /// How often something kept it from polling for more than 10 ms.
    pub stalls: u64,
    /// Packets in and packets accounted for.
    #[serde(flatten)]
    pub packets: Totals,
}

/// Both sides of the conservation law:
/// `received + injected + released + added == sent + handed_off + dropped + punted + held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Frames from receive queues.
    pub received: u64,
    /// Packets from the control side or another worker.
    pub injected: u64,
    /// Frames that a transmit queue took.
    pub sent: u64,
    /// Frames given to the worker that owns the transmit queue.
    pub handed_off: u64,
    /// Fragments that were held until the first one of their datagram came.
    pub held: u64,
    /// Fragments that are no longer held.
    pub released: u64,
    /// Frames that exist because a packet left as several fragments: all but the first of each.
    pub added: u64,
    /// Packets that were too big and whose senders were told what fits; each was sent back as that message.
    pub told_too_big: u64,
    /// Frames dropped.
    pub dropped: u64,
    /// Packets given to the control side.
    pub punted: u64,
}

/// One next hop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NeighborStatus {
    /// The port, and after a dot each identifier of a VLAN: `edge.120`.
    pub port: String,
    /// Its address.
    pub address: String,
    /// Its MAC, if known.
    pub mac: Option<String>,
    /// How far that is trusted.
    pub state: String,
    /// Since it last proved to be there.
    pub age_seconds: f64,
}

/// The TAP device of one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapStatus {
    /// The port.
    pub port: String,
    /// The device.
    pub device: String,
    /// Frames that the kernel got.
    pub to_kernel: u64,
    /// Frames for it that were dropped, by reason; reasons that never happened are left out.
    pub to_kernel_drops: BTreeMap<String, u64>,
    /// Frames that it sent.
    pub from_kernel: u64,
    /// Frames of it that were dropped, by reason; reasons that never happened are left out.
    pub from_kernel_drops: BTreeMap<String, u64>,
}

/// The control side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// Probes sent.
    pub probes_sent: u64,
    /// Probes answered in time.
    pub probes_answered: u64,
    /// Probes not judged, since this process was late itself.
    pub probes_void: u64,
    /// Packets to the prober that answer nothing it asked.
    pub probe_answers_ignored: u64,
    /// ARP requests and neighbour solicitations answered.
    pub neighbor_answers: u64,
    /// Echo requests answered.
    pub echo_answers: u64,
    /// Packets that found the ring to their worker full.
    pub inject_full: u64,
    /// Packets that found no free buffer.
    pub no_buffer: u64,
    /// Buffers in use.
    pub buffers_in_use: u64,
    /// Buffers in all.
    pub buffers: u64,
}
