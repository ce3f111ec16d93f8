//! Where things are: which port and next hop lead to an address. A pure function of the configuration.

use guideway_config::model::{Config, Interface};
use guideway_dataplane::ids::PortId;
use ipnet::IpNet;
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

/// The way to `address`: by the longest prefix among interfaces' subnets and routes; of two equal ones the subnet goes
/// first, as the configuration's validation has it.
#[must_use]
pub fn hop_to(config: &Config, address: IpAddr) -> Option<Hop> {
    let subnet = subnet_of(config, address);
    let matching = config.routes.iter().filter(|route| route.to.contains(&address));
    match (subnet, matching.max_by_key(|route| route.to.prefix_len())) {
        (Some((interface, net)), Some(route)) if net.prefix_len() >= route.to.prefix_len() => {
            Some(on_link(interface, net, address))
        }
        (_, Some(route)) => {
            let (interface, net) = subnet_of(config, route.via)?;
            Some(on_link(interface, net, route.via))
        }
        (Some((interface, net)), None) => Some(on_link(interface, net, address)),
        (None, None) => None,
    }
}

/// The smallest own subnet that holds `address`.
fn subnet_of(config: &Config, address: IpAddr) -> Option<(&Interface, &IpNet)> {
    let nets =
        config.interfaces.iter().flat_map(|interface| interface.addresses.iter().map(move |net| (interface, net)));
    nets.filter(|(_, net)| net.contains(&address)).max_by_key(|(_, net)| net.prefix_len())
}

fn on_link(interface: &Interface, net: &IpNet, neighbor: IpAddr) -> Hop {
    Hop { port: port_id(interface), neighbor, source: net.addr() }
}

/// The first own address on a port of the family of `like`.
#[must_use]
pub fn own_address(config: &Config, port: PortId, like: IpAddr) -> Option<IpAddr> {
    let on_port = config.interfaces.iter().filter(|interface| port_id(interface) == port);
    let mut addresses = on_port.flat_map(|interface| interface.addresses.iter().map(IpNet::addr));
    addresses.find(|address| address.is_ipv4() == like.is_ipv4())
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
        assert_eq!(
            hop,
            Hop { port: PortId(port), neighbor: neighbor.parse().unwrap(), source: source.parse().unwrap() }
        );
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
        let own = |port, like: &str| own_address(&config(), PortId(port), like.parse().unwrap());
        assert_eq!(own(0, "2001:db8:9::1"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(own(1, "203.0.113.10"), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(own(1, "2001:db8:9::1"), None);
    }
}
