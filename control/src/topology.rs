//! Where things are: which links there are, and which link and next hop lead to an address. A pure function of the
//! configuration.
//!
//! A link is an Ethernet segment as a port meets it. Links are numbered as [`LinkId`] says: first the untagged frames of
//! each port, with the port's own number, then the VLANs in the order of their interfaces.

use guideway_config::model::{Config, Interface, Vlan};
use guideway_dataplane::ids::{LinkId, PortId};
use ipnet::IpNet;
use std::net::IpAddr;

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The link that packets leave by.
    pub link: LinkId,
    /// Its port.
    pub port: PortId,
    /// Whose MAC they are sent to: the address itself if it is on the segment, else a gateway.
    pub neighbor: IpAddr,
    /// The own address on that interface, of the neighbour's family.
    pub source: IpAddr,
}

/// Every link: its port and its tags, by [`LinkId`]. A port without an untagged interface has its untagged link all the
/// same.
#[must_use]
pub fn links(config: &Config) -> Vec<(PortId, Option<Vlan>)> {
    let untagged = (0..config.ports.len()).map(|port| (PortId(port as u16), None));
    untagged.chain(vlans(config).map(|interface| (port_id(interface), interface.vlan))).collect()
}

/// The interfaces that are VLANs.
fn vlans(config: &Config) -> impl Iterator<Item = &Interface> {
    config.interfaces.iter().filter(|interface| interface.vlan.is_some())
}

/// The link of the interface at `index` in the configuration; that of its port's untagged frames unless it is a VLAN.
///
/// # Panics
///
/// If there is no such interface.
#[must_use]
pub fn link_of(config: &Config, index: usize) -> LinkId {
    let interface = &config.interfaces[index];
    if interface.vlan.is_none() {
        return LinkId(port_id(interface).0);
    }
    let before = config.interfaces[..index].iter().filter(|interface| interface.vlan.is_some()).count();
    // At most a few thousand interfaces: the number fits.
    LinkId((config.ports.len() + before) as u16)
}

/// The port and the tags of a link; `None` if there is no such link.
fn segment(config: &Config, link: LinkId) -> Option<(PortId, Option<Vlan>)> {
    match link.index().checked_sub(config.ports.len()) {
        None => Some((PortId(link.0), None)),
        Some(number) => vlans(config).nth(number).map(|interface| (port_id(interface), interface.vlan)),
    }
}

/// The port of a link; `None` if there is no such link.
#[must_use]
pub fn port_of(config: &Config, link: LinkId) -> Option<PortId> {
    segment(config, link).map(|(port, _)| port)
}

/// The own addresses on a link, with their subnets.
pub fn addresses_of(config: &Config, link: LinkId) -> impl Iterator<Item = IpNet> + '_ {
    let segment = segment(config, link);
    let here = config.interfaces.iter().filter(move |i| segment == Some((port_id(i), i.vlan)));
    here.flat_map(|interface| interface.addresses.iter().copied())
}

/// What people call a link: the port's name, and after a dot each VLAN identifier, the outer one first: `edge.100.20`.
#[must_use]
pub fn link_name(config: &Config, link: LinkId) -> String {
    let Some((port, vlan)) = segment(config, link) else { return format!("link {}", link.0) };
    let name = &config.ports[port.index()].name;
    match vlan {
        None => name.clone(),
        Some(Vlan { service: None, id }) => format!("{name}.{id}"),
        Some(Vlan { service: Some(service), id }) => format!("{name}.{service}.{id}"),
    }
}

/// The way to `address`: the first of [`hops_to`].
#[must_use]
pub fn hop_to(config: &Config, address: IpAddr) -> Option<Hop> {
    hops_to(config, address).first().copied()
}

/// Every way to `address`, by the longest prefix among interfaces' subnets and routes: one for a subnet, the next hops
/// in their order for a route. Of two equal prefixes the subnet goes first, as the configuration's validation has it.
/// Empty if nothing leads there.
#[must_use]
pub fn hops_to(config: &Config, address: IpAddr) -> Vec<Hop> {
    let subnet = subnet_of(config, address);
    let matching = config.routes.iter().filter(|route| route.to.contains(&address));
    let route = matching.max_by_key(|route| route.to.prefix_len());
    match (subnet, route) {
        (Some((index, net)), Some(route)) if net.prefix_len() >= route.to.prefix_len() => {
            vec![on_link(config, index, net, address)]
        }
        (_, Some(route)) => route.via.iter().filter_map(|via| direct(config, *via)).collect(),
        (Some((index, net)), None) => vec![on_link(config, index, net, address)],
        (None, None) => Vec::new(),
    }
}

/// The way to an address on a segment of ours.
fn direct(config: &Config, address: IpAddr) -> Option<Hop> {
    subnet_of(config, address).map(|(index, net)| on_link(config, index, net, address))
}

/// The smallest own subnet that holds `address`, and the index of its interface.
fn subnet_of(config: &Config, address: IpAddr) -> Option<(usize, &IpNet)> {
    let interfaces = config.interfaces.iter().enumerate();
    let nets = interfaces.flat_map(|(index, interface)| interface.addresses.iter().map(move |net| (index, net)));
    nets.filter(|(_, net)| net.contains(&address)).max_by_key(|(_, net)| net.prefix_len())
}

fn on_link(config: &Config, interface: usize, net: &IpNet, neighbor: IpAddr) -> Hop {
    let port = port_id(&config.interfaces[interface]);
    Hop { link: link_of(config, interface), port, neighbor, source: net.addr() }
}

/// The first own address on a link of the family of `like`.
#[must_use]
pub fn own_address(config: &Config, link: LinkId, like: IpAddr) -> Option<IpAddr> {
    addresses_of(config, link).map(|net| net.addr()).find(|address| address.is_ipv4() == like.is_ipv4())
}

/// The port of an interface.
#[must_use]
pub fn port_id(interface: &Interface) -> PortId {
    // At most a handful of ports: the index fits.
    PortId(interface.port as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_config::model::Config;

    fn config() -> Config {
        let text = r#"
[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"
[cores]
control = 0
workers = [1]
[[port]]
name = "edge"
device = "net_null0"
[[port]]
name = "lan"
device = "net_null1"
[[interface]]
port = "edge"
addresses = ["192.0.2.1/24", "2001:db8::1/64"]
[[interface]]
port = "lan"
addresses = ["10.0.0.1/16"]
[[route]]
to = "default"
via = ["192.0.2.254", "2001:db8::fe"]
[[route]]
to = "10.0.7.0/24"
via = ["10.0.0.7"]
[[pool]]
name = "web"
forward = "ipip"
[[pool.backend]]
address = "10.0.0.11"
[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 80
pool = "web"
"#;
        guideway_config::parse(text, None).unwrap().config
    }

    #[track_caller]
    fn leads(to: &str, port: u16, neighbor: &str, source: &str) {
        let hop = hop_to(&config(), to.parse().unwrap()).unwrap();
        assert_eq!(hop, way(port, port, neighbor, source));
    }

    fn way(link: u16, port: u16, neighbor: &str, source: &str) -> Hop {
        let (neighbor, source) = (neighbor.parse().unwrap(), source.parse().unwrap());
        Hop { link: LinkId(link), port: PortId(port), neighbor, source }
    }

    /// With VLAN 120 on `lan` between the two interfaces, and VLAN 20 in service VLAN 100 on `edge` at the end.
    fn with_vlans() -> Config {
        let mut config = config();
        let vlan = |port, service, id, net: &str| Interface {
            port,
            vlan: Some(Vlan { service, id }),
            addresses: vec![net.parse().unwrap()],
            neighbors: Vec::new(),
        };
        config.interfaces.insert(1, vlan(1, None, 120, "10.120.0.1/24"));
        config.interfaces.push(vlan(0, Some(100), 20, "10.20.0.1/24"));
        config
    }

    #[test]
    fn links_are_the_ports_and_then_the_vlans() {
        let config = with_vlans();
        let (edge, lan) = (PortId(0), PortId(1));
        let (inner, outer) = (Vlan { service: None, id: 120 }, Vlan { service: Some(100), id: 20 });
        assert_eq!(links(&config), [(edge, None), (lan, None), (lan, Some(inner)), (edge, Some(outer))]);
        assert_eq!([0, 1, 2, 3].map(|index| link_of(&config, index)), [0, 2, 1, 3].map(LinkId));
        let ports = [0, 1, 2, 3, 4].map(|link| port_of(&config, LinkId(link)));
        assert_eq!(ports, [Some(edge), Some(lan), Some(lan), Some(edge), None]);
        let names = [0, 1, 2, 3].map(|link| link_name(&config, LinkId(link)));
        assert_eq!(names, ["edge", "lan", "lan.120", "edge.100.20"]);
        let own = [0, 1, 2, 3].map(|link| own_address(&config, LinkId(link), "203.0.113.1".parse().unwrap()));
        let expected = ["192.0.2.1", "10.0.0.1", "10.120.0.1", "10.20.0.1"];
        assert_eq!(own, expected.map(|address| Some(address.parse().unwrap())));
    }

    #[test]
    fn a_route_has_all_its_next_hops_in_their_order() {
        let mut config = with_vlans();
        config.routes[0].via = ["10.120.0.9", "192.0.2.254", "10.20.0.9"].map(|via| via.parse().unwrap()).to_vec();
        let hops = |to: &str| hops_to(&config, to.parse().unwrap());
        let expected = [
            way(2, 1, "10.120.0.9", "10.120.0.1"),
            way(0, 0, "192.0.2.254", "192.0.2.1"),
            way(3, 0, "10.20.0.9", "10.20.0.1"),
        ];
        assert_eq!(hops("198.51.100.1"), expected);
        assert_eq!(hop_to(&config, "198.51.100.1".parse().unwrap()), Some(expected[0]));
        assert_eq!(hops("10.120.0.7"), [way(2, 1, "10.120.0.7", "10.120.0.1")], "a subnet is one way");
        config.routes.clear();
        assert_eq!(hops_to(&config, "198.51.100.1".parse().unwrap()), []);
    }

    #[test]
    fn the_longest_prefix_leads() {
        leads("192.0.2.9", 0, "192.0.2.9", "192.0.2.1");
        leads("10.0.1.2", 1, "10.0.1.2", "10.0.0.1");
        leads("10.0.7.2", 1, "10.0.0.7", "10.0.0.1");
        leads("198.51.100.1", 0, "192.0.2.254", "192.0.2.1");
        leads("2001:db8:1::1", 0, "2001:db8::fe", "2001:db8::1");
    }

    #[test]
    fn own_addresses_are_of_the_family_asked_for() {
        let own = |link, like: &str| own_address(&config(), LinkId(link), like.parse().unwrap());
        assert_eq!(own(0, "2001:db8:9::1"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(own(1, "203.0.113.10"), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(own(1, "2001:db8:9::1"), None);
    }
}
