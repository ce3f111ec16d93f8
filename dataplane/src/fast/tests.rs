//! What is read here is read by the parser alike, whatever the frame.

use super::read::{Receiver, v4, v6};
use crate::craft::Craft;
use crate::hash::FlowKey;
use crate::parse::{Kind, Outcome, Parsed, parse};
use crate::port::BURST;
use crate::snapshot::PortState;
use crate::vip::{ServicePort, Steering, VipEntry, VipKey, VipService, VipTable};
use crate::wire::tcp;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A packet of every usual kind.
fn packets() -> Vec<Vec<u8>> {
    let v4 = ("192.0.2.7:40000", "203.0.113.10:80");
    let v6 = ("[2001:db8::7]:40000", "[2001:db8:113::10]:80");
    let mut packets = Vec::new();
    for (source, destination) in [v4, v6] {
        let (source, destination): (SocketAddr, SocketAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        for craft in [Craft::tcp(source, destination, tcp::ACK), Craft::udp(source, destination)] {
            for payload in [0, 1, 6, 40] {
                let craft = craft.clone().macs(MAC, [2, 0, 0, 0, 0, 2]).payload(&vec![0x61; payload]);
                packets.push(craft.clone().padded_to(60).frame());
                packets.push(craft.frame());
            }
        }
    }
    packets
}

/// What the fast path and the parser must agree about.
type Told = (FlowKey, u16, u8, u16, bool);

fn told(parsed: &Parsed) -> Told {
    (parsed.key, parsed.ip_len, parsed.traffic_class, parsed.ip_offset, parsed.kind == Kind::Whole)
}

fn by_fast_path(frame: &[u8], port: &PortState) -> Option<Told> {
    let receiver = Receiver::new(port)?;
    let of =
        |blocks, header: super::Header| (FlowKey::of_blocks(blocks), header.len(), header.traffic_class(), 14, true);
    let found_v4 = v4(frame, receiver).map(|v4| of([v4.block, 0, 0], v4.header));
    let found = found_v4.or_else(|| v6(frame, receiver).map(|v6| of(v6.blocks, v6.header)));
    // No service has destination port zero: that is looked at where none was found.
    found.filter(|(key, ..)| key.destination_port() != 0)
}

fn by_parser(frame: &[u8], port: &PortState) -> Option<Told> {
    match parse(frame, frame.len(), port) {
        Outcome::Packet(parsed) => Some(told(&parsed)),
        Outcome::Punt(_) | Outcome::Drop(_) => None,
    }
}

#[test]
fn usual_packets_are_read() {
    for any in [false, true] {
        let port = if any { PortState::taking_any_destination([7; 6]) } else { PortState::new(MAC) };
        for frame in packets().into_iter().filter(|frame| frame.len() >= 62 || frame[12] == 8 && frame.len() >= 54) {
            let found = by_fast_path(&frame, &port);
            assert!(found.is_some(), "{frame:02x?}");
            assert_eq!(found, by_parser(&frame, &port), "{frame:02x?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn what_is_read_is_read_by_the_parser_alike(
        packet in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..4),
        cut in 0_usize..30,
        fix in any::<bool>(),
    ) {
        let packets = packets();
        let mut frame = packets[packet.index(packets.len())].clone();
        for (place, value, is_header) in changes {
            // Most of what decides is in the first bytes.
            let reach = if is_header { 54.min(frame.len()) } else { frame.len() };
            frame[place.index(reach)] = value;
        }
        frame.truncate(frame.len() - cut.saturating_sub(20));
        if fix && frame.len() >= 34 && frame[12] == 8 {
            frame[24..26].fill(0);
            let sum = crate::wire::checksum::of(&frame[14..34]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        let port = PortState::new(MAC);
        if let Some(found) = by_fast_path(&frame, &port) {
            prop_assert_eq!(Some(found), by_parser(&frame, &port), "{:02x?}", frame);
        }
    }
}

/// Services of each kind around one address, so that a wrong order of bytes or fields finds another one or none.
fn services() -> Vec<VipService> {
    let addresses = ["203.0.113.10", "10.113.0.203", "2001:db8:113::10", "1000::13:1:b80d:120"];
    let mut services = Vec::new();
    for address in addresses {
        let address: IpAddr = address.parse().unwrap();
        for (protocol, port) in [(6, 80), (6, 0x5000), (17, 80), (6, 443)] {
            let vip = crate::ids::VipId(services.len() as u16);
            let entry = VipEntry { vip, pool: crate::ids::PoolId(7), steering: Steering::Flow };
            let prefix_len = if address.is_ipv4() { 32 } else { 128 };
            services.push(VipService { address, prefix_len, protocol, port: ServicePort::Exact(port), entry });
        }
    }
    services
}

#[test]
fn services_are_found_by_what_stands_in_packets() {
    let table = VipTable::new(&services());
    let receiver = Receiver::new(&PortState::new(MAC)).unwrap();
    for service in services() {
        for port in [80, 0x5000, 443, 81] {
            let source: SocketAddr =
                if service.address.is_ipv4() { "192.0.2.7:4000" } else { "[2001::7]:4000" }.parse().unwrap();
            let destination = SocketAddr::new(service.address, port);
            for craft in [Craft::tcp(source, destination, tcp::SYN), Craft::udp(source, destination)] {
                let frame = craft.macs(MAC, [2; 6]).payload(&[0; 40]).frame();
                let protocol = if frame[12] == 8 { frame[23] } else { frame[20] };
                let key = VipKey::new(crate::vip::address_bits(service.address), protocol, port);
                let found = match service.address {
                    IpAddr::V4(_) => table.exact().v4.find(v4(&frame, receiver).unwrap().service),
                    IpAddr::V6(_) => table.exact().v6.find(v6(&frame, receiver).unwrap().service),
                };
                assert_eq!(found.map(|found| found.vip()), table.lookup(key).map(|entry| entry.vip));
            }
        }
    }
}

#[test]
fn places_are_those_of_the_bits() {
    assert_eq!(super::places(0).count(), 0);
    assert_eq!(super::places(1 << 63 | 0b101).collect::<Vec<_>>(), [0, 2, 63]);
    assert_eq!(super::places(super::all_of(BURST)).collect::<Vec<_>>(), (0..BURST).collect::<Vec<_>>());
    assert_eq!(super::all_of(3), 0b111);
}
