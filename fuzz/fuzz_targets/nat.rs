//! Any bytes, as a frame of one or two segments, translated to a tuple of either IP version.
#![no_main]

use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::nat::{Settings, quoted_sequence, translate};
use guideway_dataplane::parse::{Kind, Outcome, parse};
use guideway_dataplane::port::Packet;
use guideway_dataplane::session::{Endpoint, Tuple};
use guideway_dataplane::snapshot::{PortState, VlanKey};
use guideway_dataplane::vip::address_bits;
use guideway_dataplane::wire::{checksum, protocol};
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A frame of which the second part lies in another segment.
struct Segments {
    first: MemoryPacket,
    second: Vec<u8>,
}

impl Packet for Segments {
    fn frame(&self) -> &[u8] {
        self.first.frame()
    }
    fn frame_mut(&mut self) -> &mut [u8] {
        self.first.frame_mut()
    }
    fn total_len(&self) -> usize {
        self.first.total_len() + self.second.len()
    }
    fn prepend(&mut self, n: usize) -> bool {
        self.first.prepend(n)
    }
    fn trim_front(&mut self, n: usize) -> bool {
        self.first.trim_front(n)
    }
    fn resize(&mut self, len: usize) -> bool {
        self.second.is_empty() && self.first.resize(len)
    }
}

fn endpoint(v4: bool, host: u8, port: u16) -> Endpoint {
    let address = if v4 {
        Ipv4Addr::new(10, 0, 0, host).into()
    } else {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into()).into()
    };
    Endpoint { address: address_bits(address), port: port.max(1) }
}

/// Makes the checksums of an IPv4 header without options and of a message of ICMP right, which chance does not find.
fn repair(frame: &mut [u8]) -> Option<()> {
    let (link, packet) = frame.split_at_mut_checked(14)?;
    let (number, pseudo, message) = if link.ends_with(&[0x08, 0x00]) {
        let (header, message) = packet.split_first_chunk_mut::<20>()?;
        header[10..12].fill(0);
        let sum = checksum::of(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        let len = usize::from(u16::from_be_bytes([header[2], header[3]])).checked_sub(20)?;
        (header[9], 0, message.get_mut(..len)?)
    } else {
        let (header, message) = packet.split_first_chunk_mut::<40>()?;
        let len = u16::from_be_bytes([header[4], header[5]]);
        let pseudo = checksum::sum(&header[8..]) + u32::from(protocol::ICMPV6) + u32::from(len);
        (header[6], pseudo, message.get_mut(..usize::from(len))?)
    };
    if matches!(number, protocol::ICMP | protocol::ICMPV6) {
        message.get_mut(2..4)?.fill(0);
        let sum = !checksum::fold(pseudo + checksum::sum(message));
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    Some(())
}

fuzz_target!(|input: &[u8]| {
    let Some((&[low, high, choice, mtu, source, destination], frame)) = input.split_first_chunk::<6>() else { return };
    let mut frame = frame.to_vec();
    if choice & 4 == 0 {
        // What has no such checksum stays as it is.
        let _ = repair(&mut frame);
    }
    let vlans = vec![(VlanKey::new(None, 120), LinkId(1))];
    let port = PortState { any_destination: true, vlans, ..PortState::new([2, 0, 0, 0, 0, 1]) };
    let (head, tail) = frame.split_at(usize::from(u16::from_le_bytes([low, high])).min(frame.len()));
    let Outcome::Packet(parsed) = parse(head, frame.len(), &port) else { return };

    let v4 = choice & 1 == 0;
    let to = Tuple {
        source: endpoint(v4, 1, u16::from(source) << 8),
        destination: endpoint(v4, 2, u16::from(destination) << 8 | 1),
        protocol: protocol::TCP,
    };
    let settings = Settings {
        mtu: u16::from(mtu) << 8 | 0xff,
        identification: 7,
        quoted_sequence: (choice & 2 != 0).then_some(0x0506_0708),
    };
    let mut packet = Segments { first: MemoryPacket::new(head), second: tail.to_vec() };
    let Ok(translated) = translate(&mut packet, &parsed, &to, &settings) else {
        assert_eq!(packet.frame(), head);
        return;
    };
    assert!(translated.ip_len <= settings.mtu || translated.split.is_some());
    let whole = [packet.frame(), &packet.second].concat();
    match parse(&whole, whole.len(), &port) {
        Outcome::Packet(again) => {
            assert_eq!((again.family, again.ip_offset), (translated.family, translated.ip_offset));
            assert_eq!((again.ip_len, again.transport_offset), (translated.ip_len, translated.transport_offset));
            if matches!(again.kind, Kind::Whole | Kind::FirstFragment) {
                assert_eq!(Tuple::of(&again), Tuple { protocol: parsed.protocol, ..to });
            }
            if let (Some(number), Some(_)) = (settings.quoted_sequence, quoted_sequence(head, &parsed))
                && let Some(read) = quoted_sequence(&whole, &again)
            {
                assert_eq!(read, number);
            }
        }
        // A router that has the address of the other end.
        Outcome::Drop(DropReason::Land) => assert_eq!(parsed.kind, Kind::IcmpError),
        other => panic!("{other:?} of {parsed:?}"),
    }
});
