//! Which interface packets to an address leave by: subnets and routes, longest prefix first.

use crate::draft::List;
use crate::interfaces::InterfaceDraft;
use crate::routes::RouteDraft;
use ipnet::IpNet;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// The ways out of the machine.
pub(crate) struct Ways {
    connected: Prefixes<usize>,
    routes: Prefixes<IpAddr>,
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
            table.insert(route.value.to, route.value.via);
        }
        let addresses_complete = interfaces.complete && interfaces.iter().all(|interface| interface.complete);
        let complete = addresses_complete && routes.complete && routes.iter().all(|route| route.complete);
        Self { connected, routes: table, addresses_complete, complete }
    }

    /// Whether the address lies in an interface's subnet.
    pub(crate) fn is_connected(&self, address: IpAddr) -> bool {
        self.connected.longest(address).is_some()
    }

    /// Whether a route leads to the address, wherever its next hop is.
    pub(crate) fn is_routed(&self, address: IpAddr) -> bool {
        self.routes.longest(address).is_some()
    }

    /// The interface that packets to the address leave by.
    pub(crate) fn interface(&self, address: IpAddr) -> Option<usize> {
        let connected = self.connected.longest(address);
        let routed = self.routes.longest(address);
        match (connected, routed) {
            (Some((own, interface)), Some((length, _))) if own >= length => Some(*interface),
            (_, Some((_, via))) => self.connected.longest(*via).map(|(_, interface)| *interface),
            (connected, None) => connected.map(|(_, interface)| *interface),
        }
    }
}

/// Values by prefix; a prefix keeps its first value.
struct Prefixes<T> {
    v4: BTreeMap<u8, HashMap<IpNet, T>>,
    v6: BTreeMap<u8, HashMap<IpNet, T>>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { v4: BTreeMap::new(), v6: BTreeMap::new() }
    }
}

impl<T> Prefixes<T> {
    fn insert(&mut self, prefix: IpNet, value: T) {
        let lengths = if prefix.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        lengths.entry(prefix.prefix_len()).or_default().entry(prefix).or_insert(value);
    }

    /// The value of the longest prefix around `address`, with that prefix's length.
    fn longest(&self, address: IpAddr) -> Option<(u8, &T)> {
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().rev().find_map(|(&length, values)| {
            let prefix = IpNet::new(address, length).ok()?.trunc();
            values.get(&prefix).map(|value| (length, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn longest_prefix_agrees_with_a_scan(
            prefixes in prop::collection::vec((any::<u32>(), 0u8..=32), 0..40),
            address in any::<u32>(),
        ) {
            let mask = 0x0000_ff0f; // few distinct bits, so that prefixes nest and hit
            let address = IpAddr::from((address & mask).to_be_bytes());
            let nets: Vec<IpNet> = prefixes
                .iter()
                .filter_map(|&(bits, length)| IpNet::new(IpAddr::from((bits & mask).to_be_bytes()), length).ok())
                .map(|net| net.trunc())
                .collect();
            let mut table = Prefixes::default();
            for (index, net) in nets.iter().enumerate() {
                table.insert(*net, index);
            }
            let scan = nets
                .iter()
                .enumerate()
                .filter(|(_, net)| net.contains(&address))
                .max_by_key(|(index, net)| (net.prefix_len(), std::cmp::Reverse(*index)))
                .map(|(index, net)| (net.prefix_len(), index));
            prop_assert_eq!(table.longest(address).map(|(length, index)| (length, *index)), scan);
        }
    }
}
