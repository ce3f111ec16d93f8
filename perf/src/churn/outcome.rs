//! What a simulation found.

use super::flow::Kind;
use guideway_control::consistency::plan::Waiting;
use guideway_control::control::Control;
use serde::Serialize;
use std::collections::BTreeMap;

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// A TCP flow left a backend that was up.
    TcpMoved,
    /// A UDP flow did.
    UdpMoved,
    /// A QUIC connection did.
    QuicMoved,
    /// A client with affinity did.
    ClientMoved,
    /// A copy of a flow's first packet went elsewhere.
    CopyElsewhere,
    /// A packet was dropped though backends were up.
    Dropped,
    /// A packet went to a backend that every worker knew to be down.
    SentToTheDead,
    /// A packet went to a backend that has not joined yet.
    SentToTheJoining,
    /// A new flow went to a backend that drains, and that no slot names any more.
    StartOnDrained,
}

impl Violation {
    /// What it is, in words.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TcpMoved => "TCP flows moved",
            Self::UdpMoved => "UDP flows moved",
            Self::QuicMoved => "QUIC connections moved",
            Self::ClientMoved => "clients with affinity moved",
            Self::CopyElsewhere => "copies of first packets elsewhere",
            Self::Dropped => "packets dropped",
            Self::SentToTheDead => "packets to the dead",
            Self::SentToTheJoining => "packets to the joining",
            Self::StartOnDrained => "starts on drained backends",
        }
    }
}

/// What a simulation found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Flows that began.
    pub flows: u64,
    /// Their packets.
    pub packets: u64,
    /// Packets of the flood.
    pub flood: u64,
    /// Changes.
    pub changes: u64,
    /// Workers.
    pub workers: u64,
    /// Violations, each flow counted once.
    pub violations: BTreeMap<Violation, u64>,
    /// Flows that moved since a stray RST, or one that was made up, came before a SYN of theirs: a named exposure.
    pub exposed: u64,
    /// Times that a flow went to another backend since its own was down.
    pub lost: u64,
    /// Packets that went to a backend that had just died.
    pub void: u64,
    /// Flows that plain Maglev (with the same table) would have broken.
    pub plain: u64,
    /// Visits at another machine of the fleet of flows on steady slots, and how many it would send elsewhere.
    pub fleet_steady: (u64, u64),
    /// The same for special slots.
    pub fleet_special: (u64, u64),
    /// The most pins at a time.
    pub peak_pins: u64,
    /// Pins written.
    pub inserted: u64,
    /// Insertions that found no room.
    pub failed: u64,
    /// Pins evicted, by class.
    pub evicted_embryonic: u64,
    /// See `evicted_embryonic`.
    pub evicted_single: u64,
    /// See `evicted_embryonic`.
    pub evicted_confirmed: u64,
    /// The mean and the largest share of slots that were special.
    pub special: (f64, f64),
    /// Share of looks at which a planned change waited for room in the pin table.
    pub waiting_for_pins: f64,
    /// Backends that were to drain, and those that did not come to an end.
    pub drains: (u64, u64),
    #[serde(skip)]
    looks: u64,
}

impl Outcome {
    pub(super) fn violation(&mut self, kind: Violation) {
        *self.violations.entry(kind).or_default() += 1;
    }

    pub(super) fn moved(&mut self, kind: Kind, copy: bool) {
        self.violation(match kind {
            _ if copy => Violation::CopyElsewhere,
            Kind::Tcp => Violation::TcpMoved,
            Kind::Udp => Violation::UdpMoved,
            Kind::Quic => Violation::QuicMoved,
            Kind::Client(_) => Violation::ClientMoved,
        });
    }

    /// All violations.
    #[must_use]
    pub fn violated(&self) -> u64 {
        self.violations.values().sum()
    }

    pub(super) fn look(&mut self, control: &Control) {
        self.looks += 1;
        self.peak_pins = self.peak_pins.max(control.swept().live as u64);
        let state = control.state();
        let web = &state.pools[0].plan;
        let share = f64::from(web.phases().special()) / web.phases().current().len() as f64;
        let waits = state.pools.iter().any(|pool| pool.plan.waiting() == Some(Waiting::Pins));
        let mean = |mean: f64, new: f64, count: u64| mean + (new - mean) / count as f64;
        self.special = (mean(self.special.0, share, self.looks), self.special.1.max(share));
        self.waiting_for_pins = mean(self.waiting_for_pins, f64::from(u8::from(waits)), self.looks);
    }
}
