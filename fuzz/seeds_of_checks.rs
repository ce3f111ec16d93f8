//! Seeds of the targets about health checks: answers as servers give them, errors as routers send them.

use anyhow::Result;
use etherparse::{Icmpv4Type, Icmpv6Type, IpNumber, PacketBuilder};
use etherparse::{icmpv4, icmpv6};
use guideway_control::health::FIRST_PROBE_PORT;
use guideway_fuzz::answer::{BACKEND, BACKEND_V6, DNS, DNS_ID, GRPC, LINE, OWN, PACKET, VIP, VIP_V6};
use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

const MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xfe], [2, 0, 0, 0, 0, 1]];
const ROUTER: [u8; 4] = [192, 0, 2, 200];
const CLIENT: [u8; 4] = [198, 51, 100, 1];
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);

/// Writes the seeds of `answers` and `quotes` below `corpus`. Returns how many.
pub fn write(corpus: &Path) -> Result<usize> {
    let answers = answers()?;
    let quotes = quotes()?;
    for (target, seeds) in [("answers", &answers), ("quotes", &quotes)] {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(number.to_string()), seed)?;
        }
    }
    Ok(answers.len() + quotes.len())
}

fn answers() -> Result<Vec<Vec<u8>>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for line in ["75%\n", "drain", "ready, up,50%\tmaxconn:30 # all is well\n", "down # disk full", "257%"] {
        seeds.push([&[LINE], line.as_bytes()].concat());
    }
    let question = b"\x03www\x07example\x03com\0\0\x1c\0\x01";
    for rcode in [0, 2] {
        let header = [0x81, 0x80 | rcode, 0, 1, 0, 0, 0, 0, 0, 0];
        seeds.push([&[DNS][..], &DNS_ID.to_be_bytes(), &header, question].concat());
    }
    for message in [&b"\0\0\0\0\x02\x08\x01"[..], b"\0\0\0\0\0", b"\0\0\0\0\x08\x12\x02hi\x08\x01\x18\x05"] {
        seeds.push([&[GRPC], message].concat());
    }
    for (syn, reset) in [(true, false), (false, true), (false, false)] {
        let mut segment =
            PacketBuilder::ipv4(VIP.octets(), OWN.octets(), 64).tcp(80, FIRST_PROBE_PORT, 5, 1_000).ack(1);
        if syn {
            segment = segment.syn();
        }
        if reset {
            segment = segment.rst();
        }
        seeds.push(with(PACKET, |bytes| Ok(segment.write(bytes, &[])?))?);
    }
    let probe = with(PACKET, |bytes| {
        let probe = PacketBuilder::ipv4(OWN.octets(), VIP.octets(), 64).tcp(FIRST_PROBE_PORT, 80, 5, 1_000).syn();
        Ok(probe.write(bytes, &[])?)
    })?;
    let unreachable = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Host);
    seeds.push(with(PACKET, |bytes| {
        Ok(PacketBuilder::ipv4(ROUTER, OWN.octets(), 64).icmpv4(unreachable).write(bytes, &probe[1..])?)
    })?);
    Ok(seeds)
}

/// A kind, and what follows it.
fn with(kind: u8, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Vec<u8>> {
    let mut bytes = vec![kind];
    write(&mut bytes)?;
    Ok(bytes)
}

fn quotes() -> Result<Vec<Vec<u8>>> {
    let mut inner = Vec::new();
    PacketBuilder::ipv4(CLIENT, VIP.octets(), 64).tcp(20_000, 80, 1, 1_000).syn().write(&mut inner, &[7; 8])?;
    let mut inner_v6 = Vec::new();
    PacketBuilder::ipv6([9; 16], VIP_V6.octets(), 64).tcp(20_000, 80, 1, 1_000).syn().write(&mut inner_v6, &[7; 8])?;
    let mut seeds = Vec::new();
    for (number, ether_type, inner) in [(4, [0x08, 0x00], &inner), (41, [0x86, 0xdd], &inner_v6)] {
        let udp = [0xc0, 1, 0x17, 0xc0, 0, 60, 0, 0];
        let tunnels = [
            (number, inner.clone()),
            (47, [&[0, 0], &ether_type, &inner[..]].concat()),
            (17, [&udp[..], &[0, number, 0, 0], inner].concat()),
            (17, [&udp[..], inner].concat()),
        ];
        for (protocol, payload) in tunnels {
            seeds.extend(errors_v4(IpNumber(protocol), &payload)?);
            seeds.extend(errors_v6(IpNumber(protocol), &payload)?);
        }
    }
    Ok(seeds)
}

fn errors_v4(protocol: IpNumber, payload: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut outer = Vec::new();
    PacketBuilder::ipv4(OWN.octets(), BACKEND.octets(), 64).write(&mut outer, protocol, payload)?;
    let messages =
        [icmpv4::DestUnreachableHeader::Host, icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 60 }];
    let frame = |message| {
        let mut frame = Vec::new();
        let error = PacketBuilder::ethernet2(MAC[0], MAC[1]).ipv4(ROUTER, OWN.octets(), 64);
        error.icmpv4(Icmpv4Type::DestinationUnreachable(message)).write(&mut frame, &outer)?;
        Ok(frame)
    };
    messages.into_iter().map(frame).collect()
}

fn errors_v6(protocol: IpNumber, payload: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut outer = Vec::new();
    PacketBuilder::ipv6(OWN_V6.octets(), BACKEND_V6.octets(), 64).write(&mut outer, protocol, payload)?;
    let messages = [
        Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::NoRoute),
        Icmpv6Type::PacketTooBig { mtu: 1_280 },
    ];
    let frame = |message| {
        let mut frame = Vec::new();
        let error = PacketBuilder::ethernet2(MAC[0], MAC[1]).ipv6(ROUTER_V6.octets(), OWN_V6.octets(), 64);
        error.icmpv6(message).write(&mut frame, &outer)?;
        Ok(frame)
    };
    messages.into_iter().map(frame).collect()
}
