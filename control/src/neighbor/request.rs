//! Requests: ARP requests and neighbour solicitations.

use super::Link;
use super::entry::Ask;
use super::wire::{self, Arp, Operation};
use guideway_dataplane::ids::LinkId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Sends one request; `false` if the link has no address to ask from.
pub(super) fn request(link: Option<&Link>, address: IpAddr, ask: Ask, emit: &mut impl FnMut(LinkId, &[u8])) -> bool {
    let mut buffer = [0; wire::MAX_MESSAGE];
    let Some(link) = link else { return false };
    let frame = match (address, link.source_for(address)) {
        (IpAddr::V4(target), Some(IpAddr::V4(source))) => arp_request(&mut buffer, link, source, target, ask),
        (IpAddr::V6(target), Some(IpAddr::V6(source))) => solicitation(&mut buffer, link, source, target, ask),
        _ => return false,
    };
    emit(link.id, frame);
    true
}

fn arp_request<'a>(
    buffer: &'a mut [u8; wire::MAX_MESSAGE],
    link: &Link,
    sender: Ipv4Addr,
    target: Ipv4Addr,
    ask: Ask,
) -> &'a [u8] {
    let destination = match ask {
        Ask::Unicast(mac) => mac,
        Ask::Group => wire::BROADCAST,
    };
    let arp = Arp { operation: Operation::Request, sender_mac: link.mac, sender, target_mac: [0; 6], target };
    wire::write_arp(buffer, destination, &arp)
}

fn solicitation<'a>(
    buffer: &'a mut [u8; wire::MAX_MESSAGE],
    link: &Link,
    source: Ipv6Addr,
    target: Ipv6Addr,
    ask: Ask,
) -> &'a [u8] {
    let destination = match ask {
        Ask::Unicast(mac) => (mac, target),
        Ask::Group => {
            let group = wire::solicited_node(target);
            (wire::group_mac(group), group)
        }
    };
    wire::write_solicit(buffer, link.mac, source, destination, target)
}
