//! Values by prefix, found by the longest one around an address.

use ipnet::IpNet;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Values by prefix; a prefix keeps its first value.
pub(crate) struct Prefixes<T> {
    v4: BTreeMap<u8, HashMap<IpNet, T>>,
    v6: BTreeMap<u8, HashMap<IpNet, T>>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { v4: BTreeMap::new(), v6: BTreeMap::new() }
    }
}

impl<T> Prefixes<T> {
    pub(crate) fn insert(&mut self, prefix: IpNet, value: T) {
        let lengths = if prefix.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        lengths.entry(prefix.prefix_len()).or_default().entry(prefix).or_insert(value);
    }

    /// The longest prefix around `address`, and its value.
    pub(crate) fn longest(&self, address: IpAddr) -> Option<(IpNet, &T)> {
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().rev().find_map(|(&length, values)| {
            let prefix = IpNet::new(address, length).ok()?.trunc();
            values.get(&prefix).map(|value| (prefix, value))
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
                .map(|(index, net)| (*net, index));
            prop_assert_eq!(table.longest(address).map(|(net, index)| (net, *index)), scan);
        }
    }
}
