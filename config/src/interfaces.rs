//! `[[interface]]`: own addresses and static neighbours.

use crate::model::Vlan;
use crate::ports::{LOWEST_MTU_V6, PortDraft};
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::{addresses, schema};
use ipnet::IpNet;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Highest VLAN: 0 is a priority without a VLAN, 4095 is reserved (IEEE 802.1Q, table 9-2).
const HIGHEST_VLAN: u64 = 4094;

pub(crate) struct InterfaceDraft {
    pub(crate) at: usize,
    pub(crate) port: Option<Located<String>>,
    /// `Some(None)`: untagged.
    pub(crate) vlan: Option<Option<Vlan>>,
    pub(crate) addresses: Vec<Located<IpNet>>,
    /// Whether `addresses` holds all that the user wrote.
    pub(crate) complete: bool,
    pub(crate) neighbors: Vec<NeighborDraft>,
}

pub(crate) struct NeighborDraft {
    pub(crate) address: Option<Located<IpAddr>>,
    pub(crate) mac: Option<[u8; 6]>,
}

/// Reads one interface.
pub(crate) fn read(mut interface: Reader<'_>, report: &mut Report) -> InterfaceDraft {
    let port =
        interface.need("port", report).and_then(|value| value.string(report)).map(|port| port.map(str::to_owned));
    let vlan = vlan(&mut interface, report);
    let (addresses, complete) = match interface.need("addresses", report) {
        Some(value) => addresses(value, report),
        None => (Vec::new(), false),
    };
    let neighbors = match interface.get("neighbor") {
        Some(value) => {
            value.tables(&schema::NEIGHBOR, report).into_iter().map(|reader| neighbor(reader, report)).collect()
        }
        None => Vec::new(),
    };
    let at = interface.at;
    interface.finish(report);
    InterfaceDraft { at, port, vlan, addresses, complete, neighbors }
}

/// The tags; outer `None`: refused.
fn vlan(interface: &mut Reader<'_>, report: &mut Report) -> Option<Option<Vlan>> {
    let id = interface.get("vlan").map(|value| tag(value, report));
    let Some(service) = interface.get("service_vlan") else {
        return id.map_or(Some(None), |id| id.map(|id| Some(Vlan { service: None, id })));
    };
    let at = service.at;
    let service = tag(service, report);
    let Some(id) = id else {
        report.error(at, "`service_vlan` is the outer of two tags: the inner one, `vlan`, is missing");
        return None;
    };
    Some(Some(Vlan { service: Some(service?), id: id? }))
}

fn tag(value: Value<'_>, report: &mut Report) -> Option<u16> {
    value.integer(1, HIGHEST_VLAN, report).map(|id| id.value as u16)
}

fn addresses(value: Value<'_>, report: &mut Report) -> (Vec<Located<IpNet>>, bool) {
    let Some(items) = value.array("addresses", report) else { return (Vec::new(), false) };
    if items.is_empty() {
        report.error(value.at, "`addresses` is empty").help("give the interface an address such as \"10.0.0.1/24\"");
        return (Vec::new(), false);
    }
    let count = items.len();
    let read: Vec<_> = items.into_iter().filter_map(|item| item.parsed(addresses::own_address, report)).collect();
    let complete = read.len() == count;
    (read, complete)
}

fn neighbor(mut neighbor: Reader<'_>, report: &mut Report) -> NeighborDraft {
    let address = neighbor.need("address", report).and_then(|value| value.parsed(addresses::address, report));
    let mac = neighbor.need("mac", report).and_then(|value| value.parsed(addresses::mac, report)).map(|mac| mac.value);
    neighbor.finish(report);
    NeighborDraft { address, mac }
}

/// Own addresses: where each is written.
pub(crate) type OwnAddresses = HashMap<IpAddr, usize>;

/// Checks the interfaces among themselves; `ports` holds the index of each one's port.
pub(crate) fn check(
    interfaces: &[InterfaceDraft],
    port_of: &[Option<usize>],
    ports: &[PortDraft],
    report: &mut Report,
) -> OwnAddresses {
    let own = own_addresses(interfaces, report);
    same_subnets(interfaces, report);
    for interface in interfaces {
        neighbors(interface, &own, report);
    }
    for (index, port) in ports.iter().enumerate() {
        let on_port = interfaces.iter().zip(port_of).filter(|(_, of)| **of == Some(index));
        mtu(port, on_port.map(|(interface, _)| interface), report);
    }
    same_frames(interfaces, port_of, report);
    let used: HashSet<usize> = port_of.iter().flatten().copied().collect();
    for (index, port) in ports.iter().enumerate() {
        if !used.contains(&index) && interfaces.len() == port_of.iter().flatten().count() {
            report.warning(port.at, "no [[interface]] uses this port: nothing is sent to or answered on it");
        }
    }
    own
}

/// Reports interfaces that would take the same frames of one port.
fn same_frames(interfaces: &[InterfaceDraft], port_of: &[Option<usize>], report: &mut Report) {
    let mut first = HashMap::new();
    for (interface, port) in interfaces.iter().zip(port_of) {
        let (Some(port), Some(vlan)) = (port, interface.vlan) else { continue };
        let Some(&at) = first.get(&(port, vlan)) else {
            first.insert((port, vlan), interface.at);
            continue;
        };
        let message = match vlan {
            None => "the port has an untagged interface already".to_owned(),
            Some(Vlan { service: None, id }) => format!("the port has an interface with `vlan` {id} already"),
            Some(Vlan { service: Some(service), id }) => {
                format!("the port has an interface with `service_vlan` {service} and `vlan` {id} already")
            }
        };
        report
            .error(interface.at, message)
            .related(at, "first defined")
            .help("put all addresses there, or give one of them another `vlan`");
    }
}

fn own_addresses(interfaces: &[InterfaceDraft], report: &mut Report) -> OwnAddresses {
    let mut own = HashMap::new();
    for address in interfaces.iter().flat_map(|interface| &interface.addresses) {
        if let Some(&at) = own.get(&address.value.addr()) {
            report
                .error(address.at, format!("the address {} is given twice", address.value.addr()))
                .related(at, "first given");
        } else {
            own.insert(address.value.addr(), address.at);
        }
    }
    own
}

/// Warns of a subnet that lies on two interfaces; link-local ones do by their nature.
fn same_subnets(interfaces: &[InterfaceDraft], report: &mut Report) {
    let mut first: HashMap<IpNet, (usize, usize)> = HashMap::new();
    for (index, interface) in interfaces.iter().enumerate() {
        for address in &interface.addresses {
            let subnet = address.value.trunc();
            let link_local = matches!(subnet.addr(), IpAddr::V6(v6) if v6.is_unicast_link_local());
            match first.get(&subnet) {
                Some(&(other, at)) if other != index && !link_local => {
                    report
                        .warning(address.at, format!("{subnet} lies on another interface too"))
                        .related(at, "first given")
                        .help("give each segment a subnet of its own");
                }
                Some(_) => {}
                None => {
                    first.insert(subnet, (index, address.at));
                }
            }
        }
    }
}

fn mtu<'d>(port: &PortDraft, interfaces: impl Iterator<Item = &'d InterfaceDraft>, report: &mut Report) {
    let v6 =
        interfaces.flat_map(|interface| &interface.addresses).find(|address| matches!(address.value, IpNet::V6(_)));
    if let (Some(mtu), Some(v6)) = (port.mtu, v6)
        && mtu.value < LOWEST_MTU_V6
    {
        report
            .error(
                mtu.at,
                format!("`mtu` {} is too small: the port carries IPv6, which needs {LOWEST_MTU_V6}", mtu.value),
            )
            .related(v6.at, "IPv6 address");
    }
}

fn neighbors(interface: &InterfaceDraft, own: &OwnAddresses, report: &mut Report) {
    let mut first = HashMap::new();
    for address in interface.neighbors.iter().filter_map(|neighbor| neighbor.address) {
        let inside = interface.addresses.iter().any(|own| own.value.contains(&address.value));
        if let Some(&at) = own.get(&address.value) {
            report.error(address.at, format!("the neighbor {} is an own address", address.value)).related(at, "given");
        } else if !inside && interface.complete {
            report
                .error(address.at, format!("the neighbor {} is in none of its interface's subnets", address.value))
                .help("neighbors are on the same segment; reach others by a [[route]]");
        }
        if let Some(&at) = first.get(&address.value) {
            report
                .error(address.at, format!("the neighbor {} is given twice", address.value))
                .related(at, "first given");
        } else {
            first.insert(address.value, address.at);
        }
    }
}
