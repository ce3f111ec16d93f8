//! What `guideway status --json` and `GET /v1/status` give. Counts are since start, times in the unit of their name.

mod checks;
mod pools;

use crate::devices::DeviceCounters;
use crate::drain::DrainStatus;
pub use checks::{CheckDetail, CheckHistory, ResultStatus, ShareStatus};
pub use pools::{BackendStatus, CheckStatus, PoolStatus, SourcePortsStatus, TransitionStatus, VipStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
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
    /// Flows that are remembered.
    pub pins: PinsStatus,
    /// Flows with rewritten addresses; `null`: no pool rewrites any.
    #[serde(default)]
    pub sessions: Option<SessionsStatus>,
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
    /// The drain of the machine; `null`: it does not drain.
    pub drain: Option<DrainStatus>,
    /// Where operators changed at run time what the configuration file says, or what is in no file, a line each.
    pub differences: Vec<String>,
    /// The file that keeps these over a restart; `null`: they are forgotten.
    pub state_file: Option<String>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrafficStatus {
    /// Packets.
    pub packets: u64,
    /// Bytes of frames.
    pub bytes: u64,
}

/// One port.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerStatus {
    /// Its core.
    pub core: usize,
    /// What it does when nothing comes: `poll`, `adaptive` or `interrupt`.
    pub idle: String,
    /// What its core does meanwhile: `off`, `pause` or `monitor`.
    pub power: String,
    /// How often it slept until something woke it, with `interrupt`.
    pub sleeps: u64,
    /// Share of its time in polls that found something, 0 to 1.
    pub busy_share: f64,
    /// That time.
    #[serde(default)]
    pub busy_seconds: f64,
    /// Time between its first and its latest poll.
    #[serde(default)]
    pub seconds: f64,
    /// Mean packets in a burst that had any.
    pub burst_fill: f64,
    /// Bursts that had any.
    #[serde(default)]
    pub bursts: u64,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// Frames from receive queues.
    pub received: u64,
    /// Packets from the control side or another worker.
    pub injected: u64,
    /// Frames that a transmit queue took.
    pub sent: u64,
    /// Frames given to another worker: that of the transmit queue, or of the session.
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

/// Flows that are remembered: pins, each 8 bytes of one table for all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PinsStatus {
    /// How many fit: `[state] pins`.
    pub capacity: u64,
    /// How many are in use, as far as is known between two walks through the table: never too few.
    pub in_use: u64,
    /// Share of the table that is in use, 0 to 1.
    pub occupancy: f64,
    /// Pins that workers wrote for flows without one.
    pub inserted: u64,
    /// Pins that workers took away since their slot says the same. Those that expire are not counted.
    pub removed: u64,
    /// Pins that found no room.
    pub failed: u64,
    /// Pins of flows without an answer yet whose place another one took.
    pub evicted_embryonic: u64,
    /// Pins that only one packet came for whose place another one took.
    pub evicted_single: u64,
    /// Pins of established flows whose place another one took: never.
    pub evicted_confirmed: u64,
    /// Packets that went without a pin since other workers changed it all the time.
    pub contended: u64,
    /// The unit in which the age of a pin is known.
    pub tick_seconds: f64,
}

/// Sessions: flows of pools that rewrite addresses, over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionsStatus {
    /// How many fit: `[state] sessions` at each worker.
    pub capacity: u64,
    /// How many there are.
    pub live: u64,
    /// Sessions that began.
    pub created: u64,
    /// Sessions that ended by their silence; ended connections are among them.
    pub expired: u64,
    /// Sessions that gave way to others: in their handshake, or silent where `[state] sessions_full` is `evict`.
    pub evicted: u64,
    /// PROXY headers sent in segments of their own.
    pub proxy_headers: u64,
    /// Connections that another backend got since theirs did not answer, or refused.
    pub retried: u64,
    /// Connections that no backend answered in time.
    pub unanswered: u64,
    /// Established connections that were silent for too long: both sides were told.
    pub reset: u64,
    /// SYNs that the SYN proxy answered.
    pub syn_cookies: u64,
    /// Clients that acknowledged such an answer.
    pub syn_proven: u64,
}

/// One next hop.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlStatus {
    /// Probes sent.
    pub probes_sent: u64,
    /// Probes answered in time.
    pub probes_answered: u64,
    /// Probes not judged, since this process was late itself.
    pub probes_void: u64,
    /// Packets to the prober that answer nothing it asked.
    pub probe_answers_ignored: u64,
    /// Packets to checks that are conversations which found no room on their way to them.
    #[serde(default)]
    pub probe_answers_lost: u64,
    /// Probes sent out of turn, since something spoke against a backend that is up.
    #[serde(default)]
    pub probes_out_of_turn: u64,
    /// ICMP errors that spoke of a forwarded packet to a backend.
    #[serde(default)]
    pub unreachable_errors: u64,
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
