//! Whether full packets fit where they have to go: tunnels against MTUs, and drivers that cut frames.

use crate::backends::BackendDraft;
use crate::cross::Around;
use crate::model::{Forward, Protocol};
use crate::overhead::overhead;
use crate::pools::PoolDraft;
use crate::ports::{HIGHEST_MTU, PortDraft};
use crate::report::Report;
use std::collections::HashSet;

/// What a host on the Internet sends at most: the MTU of Ethernet (RFC 894).
const ETHERNET: u16 = 1500;
/// IPv4 and TCP headers without options.
const HEADERS_V4: u16 = 40;
/// IPv6 and TCP headers without options.
const HEADERS_V6: u16 = 60;

/// The driver that copies frames through a ring of fixed frames.
const AF_PACKET: &str = "net_af_packet";

/// Warns of all that will not fit.
pub(crate) fn check(around: &Around<'_>, report: &mut Report) {
    for device in around.draft.ports.iter().filter_map(|port| port.device.as_ref()) {
        if device.value.name.starts_with(AF_PACKET) {
            report
                .warning(device.at, "net_af_packet reassembles fragments and cuts frames at 2048 bytes")
                .help("fragments, jumbo frames and flow-to-worker order need another device, for example net_af_xdp");
        }
    }
    if around.ways.complete {
        tunnels(around, report);
    }
}

/// The largest packet toward one backend.
struct Room<'d> {
    backend: &'d BackendDraft,
    port: &'d PortDraft,
    mtu: u16,
    over: u16,
}

impl Room<'_> {
    /// What the port carries, less the outer headers.
    fn inner(&self) -> u16 {
        self.mtu.saturating_sub(self.over)
    }
}

fn tunnels(around: &Around<'_>, report: &mut Report) {
    let used: HashSet<usize> = around
        .draft
        .pools
        .iter()
        .filter(|pool| pool.forward.is_some_and(Forward::is_tunnel))
        .flat_map(|pool| &pool.backends)
        .flat_map(|backend| ports_toward(around, backend))
        .collect();
    let Some(full) = full_packet(around, &used) else { return };
    for (index, pool) in around.draft.pools.iter().enumerate() {
        let rooms = pool.backends.iter().flat_map(|backend| rooms(around, pool, backend));
        // The first of the tightest ones.
        if let Some(room) = rooms.min_by_key(Room::inner).filter(|room| room.inner() < full) {
            warn(around, (index, pool), &room, full, report);
        }
    }
}

/// The largest packet that ports may bring. A port that tunnels leave by may have its MTU for their sake: where all are
/// such ports, clients are taken to send what Ethernet carries.
fn full_packet(around: &Around<'_>, tunnels: &HashSet<usize>) -> Option<u16> {
    let mtus = |all: bool| {
        let ports = around.draft.ports.iter().enumerate().filter(move |(index, _)| all || !tunnels.contains(index));
        ports.filter_map(|(_, port)| port.mtu.map(|mtu| mtu.value)).max()
    };
    mtus(false).or_else(|| mtus(true).map(|largest| largest.min(ETHERNET)))
}

/// The ports that packets to a backend may leave by.
fn ports_toward(around: &Around<'_>, backend: &BackendDraft) -> impl Iterator<Item = usize> {
    let interfaces = backend.address.into_iter().flat_map(|address| around.ways.interfaces(address.value));
    interfaces.filter_map(|interface| *around.links.port_of.get(interface)?)
}

fn rooms<'d>(around: &Around<'d>, pool: &'d PoolDraft, backend: &'d BackendDraft) -> impl Iterator<Item = Room<'d>> {
    let over = pool.forward.zip(pool.tunnel.gue).zip(backend.address);
    let over = over.map(|((forward, gue), address)| overhead(forward, gue, address.value)).filter(|&over| over > 0);
    let ports = &around.draft.ports;
    over.into_iter().flat_map(move |over| {
        let ports = ports_toward(around, backend).filter_map(|port| ports.get(port));
        ports.filter_map(move |port| Some(Room { backend, port, mtu: port.mtu?.value, over })).collect::<Vec<_>>()
    })
}

fn warn(around: &Around<'_>, (index, pool): (usize, &PoolDraft), room: &Room<'_>, full: u16, report: &mut Report) {
    let (Some(address), Some(forward), Some(port)) = (room.backend.address, pool.forward, &room.port.name) else {
        return;
    };
    let (mtu, over, inner) = (room.mtu, room.over, room.inner());
    let message = format!(
        "packets of {full} bytes do not fit in the tunnels of {}: port \"{}\" carries {mtu}, and {forward} toward {} \
         leaves {inner} of them",
        pool.called(),
        port.value,
        address.value
    );
    let needed = full.saturating_add(over);
    let raise = (u64::from(needed) <= HIGHEST_MTU)
        .then(|| format!("raise the `mtu` of port \"{}\" (and the network's) to {needed}", port.value));
    let vips = around.vips_of(index);
    let tcp = vips.iter().any(|vip| vip.protocol == Some(Protocol::Tcp));
    let headers = if vips.iter().any(|vip| vip.is_ipv4() == Some(false)) { HEADERS_V6 } else { HEADERS_V4 };
    let segment = inner.saturating_sub(headers);
    let announce = (tcp && segment > 0).then(|| format!("have backends announce an MSS of at most {segment}"));
    let ways: Vec<String> = raise.into_iter().chain(announce).collect();
    let finding = report.warning(pool.at, message);
    if !ways.is_empty() {
        finding.help(ways.join(", or "));
    }
}
