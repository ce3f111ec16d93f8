//! What was decided about a packet, and why, in the words of the configuration.

use super::record::Record;
use crate::state::State;
use guideway_config::model::{self, Config};
use guideway_dataplane::consistency::Phase;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::parse::{Kind, Parsed};
use guideway_dataplane::pipeline::{Arrival, Decision, Trace};
use guideway_dataplane::port::Packet;
use guideway_dataplane::punt::PuntClass;
use guideway_dataplane::select::{By, Selection, Verdict};
use std::net::SocketAddr;

/// What backends are called, by id: also those that are gone, which a late worker may still know.
#[derive(Default)]
pub(super) struct Names(Vec<Option<String>>);

impl Names {
    /// Learns the names of all backends that there are.
    pub(super) fn learn(&mut self, state: &State) {
        for (pool, of_pool) in state.config.pools.iter().zip(&state.pools) {
            for (backend, of_backend) in pool.backends.iter().zip(&of_pool.backends) {
                let place = of_backend.id.index();
                if self.0.len() <= place {
                    self.0.resize(place + 1, None);
                }
                self.0[place] = Some(format!("{}/{}", pool.name, backend.name));
            }
        }
    }

    fn of(&self, id: BackendId) -> String {
        self.0.get(id.index()).cloned().flatten().unwrap_or_else(|| format!("#{}", id.0))
    }
}

/// Takes down what was decided about the packet of a poll, and about those that were held until now.
pub(super) struct Decided<'s> {
    config: &'s Config,
    names: &'s Names,
    pub(super) record: Record,
    /// The backend of each fragment that is no longer held; `None`: it went no further.
    pub(super) released: Vec<Option<String>>,
}

impl<'s> Decided<'s> {
    pub(super) fn new(config: &'s Config, names: &'s Names, number: u64) -> Self {
        Self { config, names, record: Record::undecided(number), released: Vec::new() }
    }

    /// The backend that a packet goes to: `pool/name`.
    fn backend_of(&self, decision: &Decision<'_>) -> Option<String> {
        match decision.verdict {
            Verdict::Forward { backend, .. } | Verdict::Split { backend, .. } => Some(self.names.of(backend)),
            _ => None,
        }
    }
}

impl Trace for Decided<'_> {
    const ENABLED: bool = true;

    fn decided<P: Packet>(&mut self, _: usize, decision: &Decision<'_>, _: Arrival<'_>, _: &P) {
        let (verdict, reason) = match decision.verdict {
            Verdict::Forward { .. } | Verdict::Split { .. } => ("forward", None),
            Verdict::HandOff(_) => ("hand_off", None),
            Verdict::Hold => ("hold", None),
            Verdict::Reply(_) => ("answer", None),
            Verdict::Punt(class) => ("punt", Some(class.label())),
            Verdict::Drop(reason) => ("drop", Some(reason.label())),
            Verdict::Undecided => ("drop", None),
        };
        let selection = decision.selection;
        let backend = self.backend_of(decision);
        let (by, phase) = match (&backend, selection) {
            (Some(_), Some(selection)) => labels(selection.by()),
            _ => (None, None),
        };
        self.record = Record {
            verdict,
            reason,
            vip: selection.map(|selection| self.config.vips[selection.vip.index()].to_string()),
            flow: decision.parsed.map(flow),
            hash: selection.map(|selection| format!("{:032x}", selection.hash.0)),
            slot: selection.map(|selection| selection.slot),
            phase,
            by,
            backend,
            why: Some(why(self.config, decision)),
            ..Record::undecided(self.record.number)
        };
    }

    fn released<P: Packet>(&mut self, decision: &Decision<'_>, _: Arrival<'_>, _: &P) {
        self.released.push(self.backend_of(decision));
    }
}

/// What decided, and the phase of a special slot.
pub(crate) fn labels(by: By) -> (Option<&'static str>, Option<&'static str>) {
    let (by, phase) = match by {
        By::Slot => ("slot", None),
        By::Name => ("name", None),
        By::Current(phase) => ("current", Some(phase)),
        By::Base(phase) => ("base", Some(phase)),
        By::Pin(phase) => ("pin", Some(phase)),
    };
    (Some(by), phase.map(phase_label))
}

fn flow(parsed: &Parsed) -> String {
    let key = &parsed.key;
    let source = SocketAddr::new(key.source(), key.source_port());
    let destination = SocketAddr::new(key.destination(), key.destination_port());
    format!("{source} > {destination} {}", protocol_name(key.protocol()))
}

fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => format!("protocol {other}"),
    }
}

/// The reason of a verdict, as a sentence.
fn why(config: &Config, decision: &Decision<'_>) -> String {
    match decision.verdict {
        Verdict::Drop(reason) => reason.help().to_owned(),
        Verdict::Undecided => "No stage decided about it.".to_owned(),
        Verdict::Punt(class) => punted(class).to_owned(),
        Verdict::HandOff(worker) => format!("Its session is worker {}'s, which gets it.", worker.0),
        Verdict::Hold => {
            "A fragment that came before the first one of its datagram: it waits for that, for 100 ms.".to_owned()
        }
        Verdict::Reply(reply) => reply.help().to_owned(),
        Verdict::Forward { .. } => chosen(config, decision),
        Verdict::Split { split, .. } => {
            let fragments = format!("The outer packet leaves in fragments: its link carries {} bytes.", split.mtu);
            format!("{} {fragments}", chosen(config, decision))
        }
    }
}

fn punted(class: PuntClass) -> &'static str {
    match class {
        PuntClass::Probe => "For an own address: the answer to a health probe.",
        PuntClass::Neighbor => "ARP or neighbor discovery.",
        PuntClass::Bgp => "For an own address: BGP.",
        PuntClass::Icmp => "ICMP to an own address, or echo to a VIP.",
        PuntClass::Other => "For an own address.",
        PuntClass::Exception => "Nothing that Guideway has a use for: the kernel gets it by the exception path.",
    }
}

/// Why a packet goes to its backend.
fn chosen(config: &Config, decision: &Decision<'_>) -> String {
    let (Some(parsed), Some(selection)) = (decision.parsed, decision.selection) else { return String::new() };
    let flow = match parsed.kind {
        Kind::Whole | Kind::Undecidable(_) => "",
        Kind::FirstFragment => "The first fragment of its datagram. ",
        Kind::LaterFragment => "A fragment, with the flow of the first one of its datagram. ",
        Kind::IcmpError => "An ICMP error, with the flow of the packet that it quotes. ",
    };
    format!("{flow}{}", by_what(&config.vips[selection.vip.index()], config, selection))
}

fn by_what(vip: &model::Vip, config: &Config, selection: &Selection<'_>) -> String {
    let (slot, slots) = (selection.slot, config.pools[vip.pool].table_size);
    let key = match vip.affinity {
        model::Affinity::Client => "the client's address",
        model::Affinity::None => "the flow",
    };
    let hash = format!("The hash of {key} gives slot {slot} of {slots}");
    match selection.by() {
        By::Name => "The server ID in its QUIC connection ID names the backend.".to_owned(),
        By::Slot => format!("{hash}, which is that backend's."),
        By::Current(Phase::Always) => format!("{hash}, which is that backend's, and a pin keeps it there."),
        By::Current(Phase::Armed) => format!("{hash}, which is armed: still that backend's, and soon another one's."),
        By::Current(phase) => format!("{hash}, which is {}: this is where it goes now.", phase_name(phase)),
        By::Base(phase) => format!("{hash}, which is {}: this is where flows from before are.", phase_name(phase)),
        By::Pin(phase) => format!("{hash}, which is {}: a pin keeps the flow where it began.", phase_name(phase)),
    }
}

/// The phase of a slot, after "which is".
fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Steady => "steady",
        Phase::Armed => "armed",
        Phase::Transition => "in transition",
        Phase::Folded => "folded",
        Phase::Look => "looked at",
        Phase::Always => "tracked",
    }
}

/// The phase of a slot, as `--json` has it.
const fn phase_label(phase: Phase) -> &'static str {
    match phase {
        Phase::Steady => "steady",
        Phase::Armed => "armed",
        Phase::Transition => "transition",
        Phase::Folded => "folded",
        Phase::Look => "look",
        Phase::Always => "always",
    }
}
