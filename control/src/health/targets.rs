//! Whom the prober probes: the list that the caller hands in, checked and sorted into groups.

use super::check::Check;
use super::probe_packet::Template;
use guideway_config::model::CheckTimes;
use guideway_dataplane::ids::{BackendId, MAX_BACKENDS};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

/// The source port of the probes to backend 0; each backend has its own (this plus its id). Workers tell answers by it.
pub const FIRST_PROBE_PORT: u16 = guideway_dataplane::select::PROBE_PORT_BASE;

const _: () = assert!(MAX_BACKENDS + FIRST_PROBE_PORT as usize <= u16::MAX as usize);

/// A backend that is to be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The backend; its probes have source port [`FIRST_PROBE_PORT`] plus this id.
    pub backend: BackendId,
    /// Destination of the probe: the VIP for modes that keep it on the packet.
    pub destination: IpAddr,
    /// Destination port of the probe.
    pub port: u16,
    /// Source of the probe, of the family of `destination`.
    pub source: IpAddr,
    /// Intervals, timeout and thresholds.
    pub check: CheckTimes,
    /// Which check of its pool this is: events say so.
    pub number: u8,
}

/// A list of targets that cannot be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The id is [`MAX_BACKENDS`] or greater: no port names it.
    #[error("backend {} cannot be probed: ids of backends are below {MAX_BACKENDS}", .0.0)]
    OutOfRange(BackendId),
    /// The same id twice.
    #[error("backend {} is listed twice as a target of probes", .0.0)]
    Duplicate(BackendId),
    /// Source and destination are of different families.
    #[error("backend {} cannot be probed: {destination} is not of the address family of {source_address}", .backend.0)]
    MixedFamilies {
        /// The backend.
        backend: BackendId,
        /// Its target's destination.
        destination: IpAddr,
        /// Its target's source.
        source_address: IpAddr,
    },
}

/// The addresses of a probe, its source port aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Addresses {
    pub destination: IpAddr,
    pub source: IpAddr,
    pub port: u16,
}

/// What backends with the same addresses and the same check share.
pub(super) struct Group {
    pub addresses: Addresses,
    pub check: Check,
    pub template: Template,
    /// Which queue of probes on their way.
    pub flights: u16,
}

/// A list of targets in groups.
pub(super) struct Grouped {
    pub groups: Vec<Group>,
    /// The timeouts in use, in ticks; [`Group::flights`] is an index into them.
    pub timeouts: Vec<u32>,
    /// For each target, in order, the index of its group.
    pub of_target: Vec<u16>,
    /// Which ids are targets; as long as the greatest of them asks for.
    pub listed: Vec<bool>,
}

/// Checks `targets` and sorts them into groups.
pub(super) fn group(targets: &[Target]) -> Result<Grouped, TargetError> {
    let ids = targets.iter().map(|target| target.backend.index() + 1).max().unwrap_or(0);
    let mut grouped = Grouped {
        groups: Vec::new(),
        timeouts: Vec::new(),
        of_target: Vec::with_capacity(targets.len()),
        listed: vec![false; ids],
    };
    let mut known = HashMap::new();
    let mut queues = HashMap::new();
    let mut last = None;
    for target in targets {
        let &Target { backend, destination, port, source, .. } = target;
        if backend.index() >= MAX_BACKENDS {
            return Err(TargetError::OutOfRange(backend));
        }
        if std::mem::replace(&mut grouped.listed[backend.index()], true) {
            return Err(TargetError::Duplicate(backend));
        }
        let addresses = Addresses { destination, source, port };
        let key = (addresses, Check::new(&target.check));
        // The backends of a pool come one after the other: most need no lookup.
        let index = match last {
            Some((same, index)) if same == key => index,
            _ => match known.entry(key) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    let template = Template::new(source, destination, port).ok_or(TargetError::MixedFamilies {
                        backend,
                        destination,
                        source_address: source,
                    })?;
                    let check = key.1;
                    // Distinct ids below MAX_BACKENDS: fewer groups, and fewer timeouts, than a u16 counts.
                    let flights = *queues.entry(check.timeout).or_insert_with(|| {
                        grouped.timeouts.push(check.timeout);
                        (grouped.timeouts.len() - 1) as u16
                    });
                    let index = grouped.groups.len() as u16;
                    grouped.groups.push(Group { addresses, check, template, flights });
                    *entry.insert(index)
                }
            },
        };
        last = Some((key, index));
        grouped.of_target.push(index);
    }
    Ok(grouped)
}
