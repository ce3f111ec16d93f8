//! Which interfaces packets to an address leave by: subnets and routes, longest prefix first.

use crate::draft::List;
use crate::interfaces::InterfaceDraft;
use crate::prefixes::Prefixes;
use crate::routes::RouteDraft;
use std::net::IpAddr;

/// The ways out of the machine.
pub(crate) struct Ways {
    connected: Prefixes<usize>,
    /// Next hops by destination.
    routes: Prefixes<Vec<IpAddr>>,
    /// Whether every own address was understood: otherwise a missing way proves nothing.
    pub(crate) addresses_complete: bool,
    /// The same for addresses and routes.
    pub(crate) complete: bool,
}

impl Ways {
    pub(crate) fn new(interfaces: &List<InterfaceDraft>, routes: &List<RouteDraft>) -> Self {
        let mut connected = Prefixes::default();
        for (index, interface) in interfaces.iter().enumerate() {
            for address in &interface.addresses {
                connected.insert(address.value.trunc(), index);
            }
        }
        let mut table = Prefixes::default();
        for route in routes.iter().flat_map(RouteDraft::routes) {
            table.insert(route.to, route.hops.iter().map(|hop| hop.value).collect());
        }
        let addresses_complete = interfaces.complete && interfaces.iter().all(|interface| interface.complete);
        let complete = addresses_complete && routes.complete && routes.iter().all(|route| route.complete);
        Self { connected, routes: table, addresses_complete, complete }
    }

    /// Whether the address lies in an interface's subnet.
    pub(crate) fn is_connected(&self, address: IpAddr) -> bool {
        self.connected.longest(address).is_some()
    }

    /// Whether a route leads to the address, wherever its next hops are.
    pub(crate) fn is_routed(&self, address: IpAddr) -> bool {
        self.routes.longest(address).is_some()
    }

    /// The interface that packets to the address leave by; of several next hops, that of the first.
    pub(crate) fn interface(&self, address: IpAddr) -> Option<usize> {
        self.interfaces(address).next()
    }

    /// The interfaces that packets to the address may leave by, in the order of its next hops, which may share one.
    pub(crate) fn interfaces(&self, address: IpAddr) -> impl Iterator<Item = usize> {
        let connected = self.connected.longest(address);
        let routed = self.routes.longest(address);
        let (own, hops) = match (connected, routed) {
            (Some((own, interface)), Some((length, _))) if own.prefix_len() >= length.prefix_len() => {
                (Some(*interface), None)
            }
            (_, Some((_, hops))) => (None, Some(hops)),
            (connected, None) => (connected.map(|(_, interface)| *interface), None),
        };
        let routed = hops.into_iter().flatten().filter_map(|hop| self.connected.longest(*hop));
        own.into_iter().chain(routed.map(|(_, interface)| *interface))
    }
}
