//! The error that a client gets for a packet that is too big.

use crate::naive::checksum;
use crate::packet::{Case, GATEWAY, PORT, parsed};
use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice, icmpv4};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::parse::{Kind, Parsed};
use guideway_dataplane::rewrite::Encapsulation;
use guideway_dataplane::rewrite::too_big::{MAX_FRAME, write_too_big};
use guideway_dataplane::wire::ipv4;
use proptest::prelude::*;

fn error(frame: &[u8], parsed: &Parsed, mtu: u16) -> Option<Vec<u8>> {
    let mut out = [0xa5; MAX_FRAME];
    write_too_big(frame, parsed, mtu, &mut out).map(|len| out[..len].to_vec())
}

/// A packet with "don't fragment" and what parsing makes of it.
fn packet(inner_v6: bool, payload: &[u8]) -> (Vec<u8>, Parsed, Craft) {
    let craft = Case::plain(Encapsulation::Ipip, false, inner_v6, payload).craft().fragment(ipv4::DONT_FRAGMENT);
    let (frame, parsed) = parsed(&craft);
    (frame, parsed, craft)
}

#[test]
fn ipv4_to_the_byte() {
    let (frame, parsed, _) = packet(false, b"hello");
    let mut expected = vec![];
    expected.extend([GATEWAY, PORT].concat());
    expected.extend([0x08, 0x00]);
    // Precedence 6, 20 + 8 + 45 bytes, don't fragment, 64 hops, from the VIP to the client.
    expected.extend([0x45, 0xc0, 0, 73, 0, 0, 0x40, 0, 64, 1, 0, 0, 203, 0, 113, 10, 192, 0, 2, 7]);
    let icmp = [3, 4, 0, 0, 0, 0, 0x05, 0xb4];
    expected.extend(icmp);
    expected.extend(&frame[14..]);
    let sum = checksum(&[&icmp, &frame[14..]]);
    expected[36..38].copy_from_slice(&sum.to_be_bytes());
    let header_sum = checksum(&[&expected[14..24], &expected[26..34]]);
    expected[24..26].copy_from_slice(&header_sum.to_be_bytes());
    assert_eq!(error(&frame, &parsed, 1_460).unwrap(), expected);
}

#[test]
fn ipv6_to_the_byte() {
    let (frame, parsed, _) = packet(true, b"hello!");
    let mut expected = vec![];
    expected.extend([GATEWAY, PORT].concat());
    expected.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8 + 66, 58, 64]);
    let vip = [0x20, 0x01, 0x0d, 0xb8, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
    let client = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    expected.extend([vip, client].concat());
    let icmp = [2, 0, 0, 0, 0, 0, 0x05, 0xb4];
    let sum = checksum(&[&vip, &client, &[0, 0, 0, 74, 0, 0, 0, 58], &icmp, &frame[14..]]);
    expected.extend(icmp);
    expected.extend(&frame[14..]);
    expected[56..58].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(error(&frame, &parsed, 1_460).unwrap(), expected);
}

proptest! {
    #[test]
    fn an_error_quotes_as_much_as_it_may(
        len in 0_usize..1_460,
        v6 in any::<bool>(),
        mtu in any::<u16>(),
        tags_len in prop::sample::select(vec![0_usize, 4, 8]),
        padding in 0_usize..40,
    ) {
        let (frame, parsed, craft) = packet(v6, &vec![0x5a; len]);
        let tags = [0x88, 0xa8, 0x60, 7, 0x81, 0, 0x20, 8];
        let tagged = [&frame[..12], &tags[..tags_len], &frame[12..], &vec![0xff; padding]].concat();
        let parsed = Parsed { ip_offset: (14 + tags_len) as u16, ..parsed };
        let error = error(&tagged, &parsed, mtu).unwrap();
        let inner = craft.ip_packet();
        prop_assert_eq!(&error[..12], [GATEWAY, PORT].concat());
        prop_assert_eq!(&error[12..14 + tags_len], &tagged[12..14 + tags_len]);
        let (headers, max) = if v6 { (48, 1_280) } else { (28, 576) };
        let quoted = inner.len().min(max - headers);
        prop_assert_eq!(error.len(), 14 + tags_len + headers + quoted);
        prop_assert_eq!(&error[14 + tags_len + headers..], &inner[..quoted]);
        read(&error[14 + tags_len..], mtu)?;
    }
}

fn read(packet: &[u8], mtu: u16) -> Result<(), TestCaseError> {
    let sliced = SlicedPacket::from_ip(packet).map_err(|error| TestCaseError::fail(error.to_string()))?;
    match (sliced.net.unwrap(), sliced.transport.unwrap()) {
        (NetSlice::Ipv4(ip), TransportSlice::Icmpv4(icmp)) => {
            let header = ip.header().to_header();
            prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
            let too_big = icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
            prop_assert_eq!(icmp.header().icmp_type, Icmpv4Type::DestinationUnreachable(too_big));
            prop_assert_eq!(icmp.header().checksum, icmp.header().icmp_type.calc_checksum(icmp.payload()));
        }
        (NetSlice::Ipv6(ip), TransportSlice::Icmpv6(icmp)) => {
            prop_assert_eq!(icmp.header().icmp_type, Icmpv6Type::PacketTooBig { mtu: mtu.into() });
            prop_assert!(icmp.is_checksum_valid(ip.header().source(), ip.header().destination()));
        }
        other => return Err(TestCaseError::fail(format!("{other:?}"))),
    }
    Ok(())
}

#[test]
fn some_packets_get_no_error() {
    let (v4, parsed_v4, _) = packet(false, &[1; 100]);
    let (v6, parsed_v6, _) = packet(true, &[1; 100]);
    let with = |frame: &[u8], at: usize, bytes: &[u8]| {
        let mut frame = frame.to_vec();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let none = |frame: &[u8], parsed: &Parsed, why: &str| assert_eq!(error(frame, parsed, 1_400), None, "{why}");
    none(&with(&v4, 20, &[0x00, 0]), &parsed_v4, "may be fragmented");
    none(&with(&v4, 0, &[0xff; 6]), &parsed_v4, "a broadcast");
    none(&with(&v6, 0, &[0x33, 0x33]), &parsed_v6, "a multicast");
    none(&with(&v6, 22, &[0; 16]), &parsed_v6, "from nobody");
    none(&v4[..20], &parsed_v4, "cut off in the header");
    // What a packet is, parsing says: its tests have the packets.
    for (frame, parsed) in [(&v4, parsed_v4), (&v6, parsed_v6)] {
        for kind in [Kind::LaterFragment, Kind::IcmpError, Kind::Undecidable(DropReason::IcmpQuote)] {
            none(frame, &Parsed { kind, ..parsed }, "a later fragment, or an ICMP error");
        }
        assert!(error(frame, &Parsed { kind: Kind::FirstFragment, ..parsed }, 1_400).is_some());
    }
}
