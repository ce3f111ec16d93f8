//! Whole frames.

use crate::packet::{Case, Chain, case, encapsulations};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::port::Packet;
use guideway_dataplane::rewrite::{Applied, Encapsulation, Gue, GueVariant, Refusal, Rewrite};
use guideway_dataplane::wire::vlan::Tags;
use proptest::collection::vec;
use proptest::prelude::*;

const WHOLE: Applied = Applied { egress: PortId(3), split: None };

fn hash(case: &Case) -> FlowHash {
    // Only the entropy may count here.
    FlowHash(u128::from(case.entropy) << 64 | 0xdead_beef)
}

proptest! {
    #[test]
    fn a_frame_is_what_its_fields_make(case in case()) {
        let (frame, parsed) = case.frame();
        let mut packet = MemoryPacket::new(&frame);
        let applied = case.backend(1_500, case.tunnel()).apply(&mut packet, &parsed, hash(&case));
        prop_assert_eq!(applied, Ok(WHOLE));
        prop_assert_eq!(packet.frame(), case.expected());
        read(packet.frame(), &case)?;
    }

    #[test]
    fn segments_change_nothing(case in case(), cuts in vec(any::<prop::sample::Index>(), 1..5)) {
        let (frame, parsed) = case.frame();
        // The headers are in the first segment.
        let headers = usize::from(parsed.ip_offset) + 60;
        let mut cuts: Vec<_> = cuts.iter().map(|cut| (headers + cut.index(frame.len())).min(frame.len())).collect();
        cuts.sort_unstable();
        let mut packet = Chain::new(&frame, cuts);
        let applied = case.backend(1_500, case.tunnel()).apply(&mut packet, &parsed, hash(&case));
        prop_assert_eq!(applied, Ok(WHOLE));
        // Padding in a later segment stays behind the packet.
        prop_assert_eq!(&packet.bytes()[..case.expected().len()], case.expected());
    }

    #[test]
    fn l2dsr_changes_the_ethernet_header_only(case in case()) {
        let (frame, parsed) = case.frame();
        let mut packet = MemoryPacket::new(&frame);
        let applied = case.backend(1_500, Rewrite::L2dsr).apply(&mut packet, &parsed, hash(&case));
        prop_assert_eq!(applied, Ok(WHOLE));
        let ethertype: &[u8] = if case.inner_v6 { &[0x86, 0xdd] } else { &[0x08, 0x00] };
        let front = [&[2, 0, 0, 0, 1, 0x0b, 2, 0, 0, 0, 0, 1], &case.tags.bytes()[..], ethertype].concat();
        let mut expected = [&front, &frame[usize::from(parsed.ip_offset)..]].concat();
        // A header written anew leaves no frame below the length of the shortest.
        if !case.tags_in.is_empty() || !case.tags.is_empty() {
            expected.resize(expected.len().max(60), 0);
        }
        prop_assert_eq!(packet.frame(), expected);
    }
}

/// An independent reader finds the inner packet where it should be, and every checksum right.
fn read(frame: &[u8], case: &Case) -> Result<(), TestCaseError> {
    let packet = SlicedPacket::from_ethernet(frame).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(packet.link_exts.len(), case.tags.len() / 4);
    let udp_checksum = |udp: &etherparse::UdpSlice<'_>| match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => udp.to_header().calc_checksum_ipv4(&ip.header().to_header(), udp.payload()),
        NetSlice::Ipv6(ip) => udp.to_header().calc_checksum_ipv6(&ip.header().to_header(), udp.payload()),
        NetSlice::Arp(_) => unreachable!(),
    };
    let load = match (&packet.transport, case.encapsulation) {
        (Some(TransportSlice::Udp(udp)), Encapsulation::Gue(gue)) => {
            prop_assert!(udp.source_port() >= 49_152);
            prop_assert_eq!(udp.checksum(), if gue.checksum { udp_checksum(udp).unwrap() } else { 0 });
            udp.payload()
        }
        (None, Encapsulation::Ipip | Encapsulation::Gre) => {
            packet.net.as_ref().unwrap().ip_payload_ref().unwrap().payload
        }
        other => return Err(TestCaseError::fail(format!("{other:?}"))),
    };
    let shim_len = match case.encapsulation {
        Encapsulation::Ipip | Encapsulation::Gue(Gue { variant: GueVariant::Direct, .. }) => 0,
        Encapsulation::Gre | Encapsulation::Gue(_) => 4,
    };
    prop_assert_eq!(&load[shim_len..], case.inner());
    if let Some(NetSlice::Ipv4(ip)) = &packet.net {
        let header = ip.header().to_header();
        prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    for (encapsulation, shim_len) in encapsulations().into_iter().zip([0, 4, 12, 12, 8, 8]) {
        for (outer_v6, inner_v6) in [(false, false), (false, true), (true, false), (true, true)] {
            // Tags do not count against the MTU, whichever way they go.
            let case = Case { tags: Tags::service(7, 8), ..Case::plain(encapsulation, outer_v6, inner_v6, &[7; 500]) };
            let (frame, parsed) = case.frame();
            let overhead = if outer_v6 { 40 } else { 20 } + shim_len;
            let fits = parsed.ip_len + overhead;
            let mut packet = MemoryPacket::new(&frame);
            let backend = case.backend(fits - 1, case.tunnel());
            assert_eq!(backend.overhead(), overhead);
            let applied = backend.apply(&mut packet, &parsed, hash(&case));
            assert_eq!(applied, Err(Refusal::TooBig { mtu: parsed.ip_len - 1 }));
            assert_eq!(applied.unwrap_err().reason(), DropReason::MtuExceeded);
            assert_eq!(packet.frame(), frame);
            assert_eq!(case.backend(fits, case.tunnel()).apply(&mut packet, &parsed, hash(&case)), Ok(WHOLE));
        }
    }
}

#[test]
fn without_headroom_nothing_changes() {
    for tags in [Tags::NONE, Tags::customer(5)] {
        for rewrite in encapsulations().into_iter().map(Some).chain([None]) {
            let plain = Case::plain(rewrite.unwrap_or(Encapsulation::Ipip), false, false, &[7; 100]);
            let case = Case { tags, ..plain };
            let rewrite = rewrite.map_or(Rewrite::L2dsr, |_| case.tunnel().into());
            let backend = case.backend(1_500, rewrite);
            let (frame, parsed) = case.frame();
            let needed = usize::from(backend.overhead()) + tags.len();
            for headroom in [needed, needed.saturating_sub(1)] {
                let mut packet = MemoryPacket::new(&[]);
                assert!(packet.prepend(128 - headroom) && packet.resize(frame.len()));
                packet.frame_mut().copy_from_slice(&frame);
                let applied = backend.apply(&mut packet, &parsed, hash(&case));
                if headroom < needed {
                    assert_eq!(applied, Err(Refusal::Drop(DropReason::NoHeadroom)));
                    assert_eq!(packet.frame(), frame);
                } else {
                    assert_eq!(applied, Ok(WHOLE));
                }
            }
        }
    }
}
