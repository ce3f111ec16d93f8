//! What is inside a tunnel packet: IP-in-IP (RFC 2003, RFC 2473, RFC 4213), GRE (RFC 2784), GUE
//! (draft-ietf-intarea-gue, variants 0 and 1).

use std::net::IpAddr;

/// Destination port of GUE.
pub const GUE_PORT: u16 = 6080;
/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;

/// What the checksum of an outer UDP header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is right.
    Good,
    /// There is none: it is zero.
    Zero,
    /// It is wrong.
    Bad,
}

/// The payload of an IPv4 packet as raw sockets deliver it, from its header on (raw(7)).
pub fn ipv4_payload(packet: &[u8]) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    if header < 20 { None } else { packet.get(header..) }
}

/// The IP packet that these bytes are, if they look like one.
pub fn ip_inner(payload: &[u8]) -> Option<&[u8]> {
    version(payload).map(|_| payload)
}

/// The IP packet behind a GRE header without optional fields.
pub fn gre_inner(payload: &[u8]) -> Option<&[u8]> {
    let (header, inner) = payload.split_first_chunk::<4>()?;
    let protocol = match version(inner)? {
        4 => [0x08, 0x00],
        _ => [0x86, 0xdd],
    };
    (*header == [0, 0, protocol[0], protocol[1]]).then_some(inner)
}

/// The IP packet in a UDP datagram to [`GUE_PORT`], from the UDP header on.
pub fn gue_inner(datagram: &[u8]) -> Option<&[u8]> {
    let (header, payload) = datagram.split_first_chunk::<UDP_HEADER>()?;
    if header[2..4] != GUE_PORT.to_be_bytes() {
        return None;
    }
    match payload.first()? >> 6 {
        0 => {
            let (header, inner) = payload.split_first_chunk::<4>()?;
            let protocol = match version(inner)? {
                4 => 4,
                _ => 41,
            };
            // Neither a control message nor optional fields, and no flags.
            (*header == [0, protocol, 0, 0]).then_some(inner)
        }
        1 => ip_inner(payload),
        _ => None,
    }
}

/// Judges the checksum of a whole UDP datagram (RFC 768, RFC 8200 section 8.1).
pub fn udp_checksum(source: IpAddr, destination: IpAddr, datagram: &[u8]) -> Checksum {
    if datagram.get(6..8) == Some(&[0, 0]) {
        return Checksum::Zero;
    }
    let addresses = [source, destination].map(|address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    });
    let length = datagram.len().to_be_bytes();
    let parts = [&addresses[0], &addresses[1], &[0, 17][..], &length, datagram];
    let words = parts.into_iter().flat_map(|part| part.chunks(2));
    let sum: u64 = words.map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |low| u64::from(*low))).sum();
    if sum > 0 && sum.is_multiple_of(0xffff) { Checksum::Good } else { Checksum::Bad }
}

fn version(packet: &[u8]) -> Option<u8> {
    Some(packet.first()? >> 4).filter(|version| matches!(version, 4 | 6))
}

#[cfg(test)]
mod tests {
    use super::{Checksum, gre_inner, gue_inner, ip_inner, ipv4_payload, udp_checksum};
    use std::net::IpAddr;

    const V4: [u8; 2] = [0x45, 9];
    const V6: [u8; 2] = [0x60, 1];

    fn join(header: &[u8], inner: &[u8]) -> Vec<u8> {
        [header, inner].concat()
    }

    #[test]
    fn an_outer_ipv4_header_is_taken_off_with_its_options() {
        assert_eq!(ipv4_payload(&join(&[0x46; 24], &V6)), Some(&V6[..]));
        assert_eq!(ipv4_payload(&[]), None);
        assert_eq!(ipv4_payload(&[0x44; 30]), None, "a header of 16 bytes");
        assert_eq!(ipv4_payload(&[0x4f; 30]), None, "a header longer than the packet");
    }

    #[test]
    fn what_is_no_ip_packet_is_none() {
        assert_eq!(ip_inner(&V4), Some(&V4[..]));
        assert_eq!(ip_inner(&[]), None, "no inner packet");
        assert_eq!(ip_inner(&[0x50]), None, "no IP version");
    }

    #[test]
    fn gre_names_the_family_of_the_inner_packet() {
        assert_eq!(gre_inner(&join(&[0, 0, 0x08, 0], &V4)), Some(&V4[..]));
        assert_eq!(gre_inner(&join(&[0, 0, 0x86, 0xdd], &V6)), Some(&V6[..]));
        assert_eq!(gre_inner(&join(&[0, 0, 0x08, 0], &V6)), None, "another family");
        assert_eq!(gre_inner(&join(&[0x80, 0, 0x08, 0], &V4)), None, "a checksum");
        assert_eq!(gre_inner(&[0, 0, 8]), None, "cut");
    }

    #[test]
    fn both_variants_of_gue() {
        let udp = [0xc0, 1, 0x17, 0xc0, 0, 0, 0, 0];
        assert_eq!(gue_inner(&join(&udp, &join(&[0, 4, 0, 0], &V4))), Some(&V4[..]));
        assert_eq!(gue_inner(&join(&udp, &join(&[0, 41, 0, 0], &V6))), Some(&V6[..]));
        assert_eq!(gue_inner(&join(&udp, &V4)), Some(&V4[..]));
        assert_eq!(gue_inner(&join(&udp, &V6)), Some(&V6[..]));
        assert_eq!(gue_inner(&join(&udp, &join(&[0, 41, 0, 0], &V4))), None, "another family");
        assert_eq!(gue_inner(&join(&udp, &join(&[0x20, 4, 0, 0], &V4))), None, "a control message");
        assert_eq!(gue_inner(&join(&[0xc0, 1, 0x17, 0xc1, 0, 0, 0, 0], &V4)), None, "another port");
    }

    #[test]
    fn checksums_are_judged() {
        let addresses: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        let judge = |datagram: &[u8]| udp_checksum(addresses[0], addresses[1], datagram);
        // Ones' complement sum by hand: 0a00 + 0001 + 0a00 + 0002 + 0011 + 0009 + 1000 + 2000 + 0009 + ab00 = ef26.
        let good = [0x10, 0, 0x20, 0, 0, 9, 0x10, 0xd9, 0xab];
        assert_eq!(judge(&good), Checksum::Good);
        assert_eq!(judge(&[0x10, 0, 0x20, 0, 0, 9, 0, 0, 0xab]), Checksum::Zero);
        assert_eq!(judge(&[0x10, 0, 0x20, 0, 0, 9, 0x10, 0xd9, 0xac]), Checksum::Bad);
    }
}
