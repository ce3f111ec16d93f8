//! Where things are: which port and next hop lead to an address. A pure function of the configuration.

use guideway_config::model::{Config, Interface};
use guideway_dataplane::ids::PortId;
use std::net::IpAddr;

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The port that packets leave by.
    pub port: PortId,
    /// Whose MAC they are sent to: the address itself if it is on the segment, else a gateway.
    pub neighbor: IpAddr,
    /// The own address on that interface, of the neighbour's family.
    pub source: IpAddr,
}

/// The way to `address`: through an interface whose subnet holds it, else by the route with the longest prefix.
#[must_use]
pub fn hop_to(config: &Config, address: IpAddr) -> Option<Hop> {
    on_link(config, address).or_else(|| {
        let matching = config.routes.iter().filter(|route| route.to.contains(&address));
        let route = matching.max_by_key(|route| route.to.prefix_len())?;
        on_link(config, route.via)
    })
}

/// The way to an address in an interface's own subnet.
#[must_use]
pub fn on_link(config: &Config, address: IpAddr) -> Option<Hop> {
    let nets = config.interfaces.iter().flat_map(|interface| interface.addresses.iter().map(move |net| (interface, net)));
    let holding = nets.filter(|(_, net)| net.contains(&address));
    let (interface, net) = holding.max_by_key(|(_, net)| net.prefix_len())?;
    Some(Hop { port: port_id(interface), neighbor: address, source: net.addr() })
}

/// The first own address on a port of the family of `like`.
#[must_use]
pub fn own_address(config: &Config, port: PortId, like: IpAddr) -> Option<IpAddr> {
    let on_port = config.interfaces.iter().filter(|interface| port_id(interface) == port);
    let mut addresses = on_port.flat_map(|interface| interface.addresses.iter().map(ipnet::IpNet::addr));
    addresses.find(|address| address.is_ipv4() == like.is_ipv4())
}

/// The port of an interface.
#[must_use]
pub fn port_id(interface: &Interface) -> PortId {
    // At most a handful of ports: the index fits.
    PortId(interface.port as u16)
}
