//! ICMP errors of routers about the packets of tunnels, as frames.

use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet, Ipv4Packet};
use std::net::IpAddr;

pub const OWN_V4: &str = "10.0.0.1";
pub const OWN_V6: &str = "fd00::1";
pub const BACKEND_V4: &str = "10.9.0.11";
pub const BACKEND_V6: &str = "fd09::11";
pub const VIP_V4: &str = "203.0.113.10";
pub const VIP_V6: &str = "2001:db8::10";

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn octets(text: &str) -> Vec<u8> {
    match ip(text) {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub fn is_vip(address: IpAddr) -> bool {
    [VIP_V4, VIP_V6].map(ip).contains(&address)
}

/// An IP packet whose header tells of `total` bytes, with so much of the payload as is given.
pub fn packet(source: &str, destination: &str, protocol: u8, total: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = if ip(source).is_ipv4() {
        let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header
    } else {
        let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
        header[4..6].copy_from_slice(&(total - 40).to_be_bytes());
        header
    };
    bytes.extend(octets(source));
    bytes.extend(octets(destination));
    bytes.extend(payload);
    if ip(source).is_ipv4() {
        Ipv4Packet::new_unchecked(&mut bytes[..]).fill_checksum();
    }
    bytes
}

/// A client's packet to a VIP, of which the header and 8 bytes are there, and its protocol number in a tunnel.
pub fn inner(vip: &str) -> (u8, Vec<u8>) {
    if ip(vip).is_ipv4() {
        (4, packet("198.51.100.1", vip, 6, 1_480, &[7; 8]))
    } else {
        (41, packet("2001:db8:9::1", vip, 6, 1_440, &[7; 8]))
    }
}

/// What stands between the outer IP header and the inner packet, and the outer protocol.
#[derive(Clone, Copy, Debug)]
pub enum Tunnel {
    Ip,
    Gre,
    Gue0,
    Gue1,
}

impl Tunnel {
    pub const ALL: [Self; 4] = [Self::Ip, Self::Gre, Self::Gue0, Self::Gue1];

    /// The outer protocol, and what follows the outer IP header of a packet to `vip`.
    pub fn wrap(self, vip: &str) -> (u8, Vec<u8>) {
        let (number, inner) = inner(vip);
        let udp = [0xc0, 1, 0x17, 0xc0, 5, 0xb4, 0, 0];
        match self {
            Self::Ip => (number, inner),
            Self::Gre if number == 4 => (47, [&[0, 0, 0x08, 0][..], &inner].concat()),
            Self::Gre => (47, [&[0, 0, 0x86, 0xdd][..], &inner].concat()),
            Self::Gue0 => (17, [&udp[..], &[0, number, 0, 0], &inner].concat()),
            Self::Gue1 => (17, [&udp[..], &inner].concat()),
        }
    }
}

/// A frame with an ICMP error "too big" from a router to `own`, that quotes these bytes.
pub fn error(own: &str, mtu: u32, quoted: &[u8]) -> Vec<u8> {
    let (kind, code) = if ip(own).is_ipv4() { (3, 4) } else { (2, 0) };
    icmp(own, [kind, code], mtu, quoted)
}

/// A frame with an ICMP message of this type and code from a router to `own`: a word, and what it quotes.
pub fn icmp(own: &str, [kind, code]: [u8; 2], word: u32, quoted: &[u8]) -> Vec<u8> {
    let v4 = ip(own).is_ipv4();
    let router = if v4 { "192.0.2.200" } else { "2001:db8:200::1" };
    let mut message = vec![kind, code, 0, 0];
    message.extend(word.to_be_bytes());
    message.extend(quoted);
    match (ip(router), ip(own)) {
        (IpAddr::V6(router), IpAddr::V6(own)) => {
            Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&router, &own);
        }
        _ => Icmpv4Packet::new_unchecked(&mut message[..]).fill_checksum(),
    }
    let header = if v4 { 20 } else { 40 };
    let total = (header + message.len()) as u16;
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xfe];
    frame.extend(if v4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend(packet(router, own, if v4 { 1 } else { 58 }, total, &message));
    frame
}
