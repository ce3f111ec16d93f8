//! The VIPs among themselves and against own addresses; and which of them holds an address.

use crate::interfaces::OwnAddresses;
use crate::model::{PortMatch, Protocol};
use crate::prefixes::Prefixes;
use crate::reader::Located;
use crate::report::Report;
use crate::vips::{VipDraft, is_single, shown};
use ipnet::IpNet;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// VIPs of a configuration.
const MOST_VIPS: usize = 16_384;

/// Where each address and each prefix of VIPs is first written.
pub(crate) struct VipAddresses(Prefixes<usize>);

impl VipAddresses {
    pub(crate) fn new(vips: &[VipDraft]) -> Self {
        let mut first = Prefixes::default();
        for address in vips.iter().filter_map(|vip| vip.address) {
            first.insert(address.value, address.at);
        }
        Self(first)
    }

    /// What an address is because of the VIPs, in words that follow `is`, and where that VIP is written.
    pub(crate) fn holds(&self, address: IpAddr) -> Option<(String, usize)> {
        let (block, &at) = self.0.longest(address)?;
        Some((if is_single(block) { "a VIP".to_owned() } else { format!("in the VIP prefix {block}") }, at))
    }
}

/// Checks the VIPs among themselves and against own addresses.
pub(crate) fn check(vips: &[VipDraft], own: &OwnAddresses, report: &mut Report) {
    if let Some(first) = vips.get(MOST_VIPS) {
        report.error(first.at, format!("a configuration holds at most {MOST_VIPS} VIPs, this one has {}", vips.len()));
    }
    own_addresses(vips, own, report);
    let mut first = HashMap::new();
    let mut ranges: HashMap<(IpNet, Protocol), Ranges> = HashMap::new();
    for vip in vips {
        let (Some(address), Some(protocol), Some(port)) = (vip.address, vip.protocol, vip.port) else { continue };
        let wire = protocol.on_wire();
        match first.get(&(address.value, wire, port.value)) {
            Some(&(at, other)) => twice(vip.at, address.value, (protocol, other), report).related(at, "first defined"),
            None => {
                first.insert((address.value, wire, port.value), (vip.at, protocol));
                let PortMatch::Range(low, high) = port.value else { continue };
                let ranges = ranges.entry((address.value, wire)).or_default();
                let Some((other, at)) = ranges.insert(low, high, vip.at) else { continue };
                let (shown, on) = (shown(address.value), format!("{low}-{high}"));
                report
                    .error(port.at, format!("the ports {on} of the VIP {shown} overlap with {other} of another VIP"))
                    .related(at, "defined")
                    .help("let the ranges of one address and protocol be apart, or make them one")
            }
        };
    }
}

/// Reports a VIP whose address, protocol on the wire and port an earlier one has.
fn twice(
    at: usize,
    address: IpNet,
    (here, first): (Protocol, Protocol),
    report: &mut Report,
) -> &mut crate::report::Finding {
    let address = shown(address);
    if here == first {
        return report.error(at, format!("the VIP {address} with this protocol and port is given twice"));
    }
    let finding = report.error(at, format!("the VIP {address} with this port is given as {first} and as {here}"));
    finding.help("both are UDP on the wire: keep one")
}

fn own_addresses(vips: &[VipDraft], own: &OwnAddresses, report: &mut Report) {
    let own: BTreeMap<IpAddr, usize> = own.iter().map(|(&address, &at)| (address, at)).collect();
    for Located { at, value: block } in vips.iter().filter_map(|vip| vip.address) {
        let Some((address, &given)) = own.range(block.network()..=block.broadcast()).next() else { continue };
        let message = if is_single(block) {
            format!("the VIP {address} is an own address of an interface")
        } else {
            format!("the VIP {block} contains {address}, an own address of an interface")
        };
        report.error(at, message).related(given, "given").help("a VIP needs addresses of its own");
    }
}

/// Ranges of ports that do not overlap, by their first port: last port, and where it is written.
#[derive(Default)]
struct Ranges(BTreeMap<u16, (u16, usize)>);

impl Ranges {
    /// Adds a range; or a range that it overlaps, in words, and where that is written.
    fn insert(&mut self, low: u16, high: u16, at: usize) -> Option<(String, usize)> {
        // Of those that begin up to `high` only the last can reach `low`: they are apart.
        if let Some((&first, &(last, written))) = self.0.range(..=high).next_back()
            && last >= low
        {
            return Some((format!("{first}-{last}"), written));
        }
        self.0.insert(low, (high, at));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_overlap_as_sets_of_ports_do(pairs in prop::collection::vec((1u16..60, 1u16..20), 0..20)) {
            let mut ranges = Ranges::default();
            let mut kept: Vec<(u16, u16)> = Vec::new();
            for (low, length) in pairs {
                let high = low + length;
                let apart = kept.iter().all(|&(first, last)| (low..=high).all(|port| port < first || port > last));
                let overlapped = ranges.insert(low, high, 0);
                prop_assert_eq!(overlapped.is_none(), apart);
                if let Some((other, _)) = overlapped {
                    let other = kept.iter().find(|(first, last)| format!("{first}-{last}") == other);
                    let &(first, last) = other.expect("one of the ranges");
                    prop_assert!(low <= last && first <= high);
                } else {
                    kept.push((low, high));
                }
            }
        }
    }
}
