//! A header in every datagram: version 2 over UDP.

use super::header::Header;
use crate::parse::{Family, Parsed};
use crate::port::Packet;
use crate::wire::checksum;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::udp::{self, UdpHeader};
use zerocopy::FromBytes;
use zerocopy::network_endian::U16;

/// Puts a header of even length before the payload of a whole datagram. `false`, and nothing changed, if there is no room.
#[must_use]
pub fn put_before_payload<P: Packet>(packet: &mut P, parsed: &mut Parsed, header: &Header) -> bool {
    let (ip, transport) = (usize::from(parsed.ip_offset), usize::from(parsed.transport_offset));
    let (len, headers) = (header.len(), transport + udp::HEADER_LEN);
    let longer = usize::from(parsed.ip_len) + len;
    let Ok(longer) = u16::try_from(longer) else { return false };
    if packet.frame().len() < headers || !packet.prepend(len) {
        return false;
    }
    let frame = packet.frame_mut();
    frame.copy_within(len..len + headers, 0);
    if let Some(place) = frame.get_mut(headers..headers + len) {
        place.copy_from_slice(header);
    }
    parsed.ip_len = longer;
    match parsed.family {
        Family::V4 => {
            if let Some(Ok((header, _))) = frame.get_mut(ip..).map(Ipv4Header::mut_from_prefix) {
                let (before, sum) = (header.total_len.get(), header.checksum.get());
                header.total_len = U16::new(longer);
                header.checksum = U16::new(checksum::updated(sum, before.into(), longer.into()));
            }
        }
        Family::V6 => {
            if let Some(Ok((header, _))) = frame.get_mut(ip..).map(Ipv6Header::mut_from_prefix) {
                header.payload_len = U16::new(header.payload_len.get().saturating_add(len as u16));
            }
        }
    }
    if let Some(Ok((udp, _))) = frame.get_mut(transport..).map(UdpHeader::mut_from_prefix) {
        let before = udp.len.get();
        let after = before.saturating_add(len as u16);
        udp.len = U16::new(after);
        // Zero is no checksum, and none it stays. The length counts twice: in the header, and before it.
        if udp.checksum.get() != 0 {
            let added = checksum::sum(header) + 2 * u32::from(after);
            let updated = checksum::updated(udp.checksum.get(), 2 * u32::from(before), added);
            udp.checksum = U16::new(if updated == 0 { 0xffff } else { updated });
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::{Style, header};
    use super::*;
    use crate::craft::Craft;
    use crate::memory::MemoryPacket;
    use crate::parse::{Outcome, parse};
    use crate::session::Tuple;
    use crate::snapshot::PortState;

    #[test]
    fn it_is_as_if_the_client_had_written_it() {
        let port = PortState::taking_any_destination([2, 0, 0, 0, 0, 1]);
        let style = Style::V2 { crc32c: true, unique_id: true, vip: true };
        let pairs = [("192.0.2.7:4000", "203.0.113.10:53"), ("[2001:db8::7]:4000", "[2001:db8:1::a]:53")];
        for (client, vip) in pairs {
            for payload in [&b""[..], b"x", b"a question"] {
                let crafted =
                    |payload: &[u8]| Craft::udp(client.parse().unwrap(), vip.parse().unwrap()).payload(payload).frame();
                let frame = crafted(payload);
                let Outcome::Packet(mut parsed) = parse(&frame, frame.len(), &port) else { panic!("a packet") };
                let header = header(style, &Tuple::of(&parsed), 5).unwrap();
                let mut packet = MemoryPacket::new(&[]);
                // Headers of this length need more headroom than an Ethernet header leaves.
                assert!(packet.resize(header.len() + frame.len()) && packet.trim_front(header.len()));
                packet.frame_mut().copy_from_slice(&frame);
                assert!(put_before_payload(&mut packet, &mut parsed, &header), "{client} {payload:?}");
                assert_eq!(packet.frame(), crafted(&[&header, payload].concat()), "{client} {payload:?}");
            }
        }
    }
}
