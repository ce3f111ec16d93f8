//! ICMP errors go where the flow goes that they quote, whoever sends them.

use crate::rig::{GATEWAY, PORT_0, Rig, many_backends};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::wire::{icmp, tcp};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

/// The VIP of `l2dsr` in the family of an address, with this port.
fn vip(family: IpAddr, port: u16) -> SocketAddr {
    let address = if family.is_ipv4() { "203.0.113.10" } else { "2001:db8:10::10" };
    SocketAddr::new(address.parse().unwrap(), port)
}

fn host() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
        any::<[u8; 8]>().prop_map(|low| {
            let mut octets = [0x20; 16];
            octets[8..].copy_from_slice(&low);
            IpAddr::from(octets)
        }),
    ]
}

/// Where the worker sends a packet.
fn destination(rig: &mut Rig, packet: Craft) -> Vec<u8> {
    rig.receive(0, &packet.macs(PORT_0, GATEWAY).frame());
    rig.poll();
    assert_eq!(rig.all_drops(), []);
    rig.sent(0).pop().unwrap()[..6].to_vec()
}

proptest! {
    #[test]
    fn an_error_goes_where_its_flow_goes(
        client in host(),
        port in 1_u16..,
        udp in any::<bool>(),
        router in any::<u8>(),
        affinity in any::<bool>(),
        len in 8_usize..60,
    ) {
        let (client, vip) = (SocketAddr::new(client, port), vip(client, if udp { 53 } else { 80 }));
        let packet = |source, destination| {
            if udp { Craft::udp(source, destination) } else { Craft::tcp(source, destination, tcp::ACK) }
        };
        let (router, message) = match client {
            SocketAddr::V4(_) => (IpAddr::from([198, 51, 100, router]), icmp::V4_UNREACHABLE),
            SocketAddr::V6(_) => (format!("2001:db8:ffff::{router}").parse().unwrap(), icmp::V6_PACKET_TOO_BIG),
        };
        let quoted = packet(vip, client).payload(&[0x61; 40]).ip_packet();
        let header_len = if client.is_ipv4() { 20 } else { 40 };
        let quote = &quoted[..quoted.len().min(header_len + len)];
        let mut context = many_backends();
        context.vips.iter_mut().for_each(|vip| vip.client_affinity = affinity);
        let (mut rig, _publisher) = Rig::new(context.snapshot().unwrap());
        let of_flow = destination(&mut rig, packet(client, vip));
        let error = Craft::icmp(router, vip.ip(), message, 1, [0; 4]).payload(quote);
        prop_assert_eq!(destination(&mut rig, error), of_flow);
    }
}
