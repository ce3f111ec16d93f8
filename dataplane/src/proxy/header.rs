//! The bytes of a header: versions 1 and 2 of the PROXY protocol (the HAProxy project's specification of 2020, sections 2.1
//! and 2.2).

use crate::session::{Endpoint, Tuple};
use crate::vip::is_v4;
use crate::wire::protocol;
use arrayvec::{ArrayString, ArrayVec};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which header, and what version 2 says beside the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line of text; of TCP alone.
    V1,
    /// Binary.
    V2 {
        /// A CRC32c of the header (`PP2_TYPE_CRC32C`).
        crc32c: bool,
        /// An identifier of the connection (`PP2_TYPE_UNIQUE_ID`).
        unique_id: bool,
        /// The VIP, as `address:port/protocol` ([`TLV_VIP`]).
        vip: bool,
    },
}

/// The longest header in bytes: version 2 with IPv6 addresses and all TLVs. One of version 1 has 107 at most.
pub const MOST: usize = 16 + 36 + 7 + 19 + 3 + VIP_MOST + 3;
/// The longest VIP in words.
const VIP_MOST: usize = 54;

/// The type of the TLV with the VIP: the first one that is for applications' own use.
pub const TLV_VIP: u8 = 0xe0;
const TLV_CRC32C: u8 = 0x03;
const TLV_NOOP: u8 = 0x04;
const TLV_UNIQUE_ID: u8 = 0x05;

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, on behalf of a client.
const PROXY: u8 = 0x21;

/// The bytes of a header.
pub type Header = ArrayVec<u8, MOST>;

/// The header for a connection from `outside.source` to the VIP `outside.destination`. `id` identifies the connection.
///
/// `None` for a protocol that the style does not know.
#[must_use]
pub fn header(style: Style, outside: &Tuple, id: u128) -> Option<Header> {
    match style {
        Style::V1 if outside.protocol == protocol::TCP => v1(outside),
        Style::V1 => None,
        Style::V2 { crc32c, unique_id, vip } => v2(outside, (crc32c, unique_id, vip), id),
    }
}

const fn ip(address: u128) -> IpAddr {
    if is_v4(address) {
        IpAddr::V4(Ipv4Addr::from_bits(address as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(address))
    }
}

fn v1(outside: &Tuple) -> Option<Header> {
    let mut line = ArrayString::<MOST>::new();
    let Tuple { source, destination, .. } = *outside;
    let family = if outside.is_v4() { "TCP4" } else { "TCP6" };
    let (from, to) = (ip(source.address), ip(destination.address));
    write!(line, "PROXY {family} {from} {to} {} {}\r\n", source.port, destination.port).ok()?;
    line.as_bytes().try_into().ok()
}

fn v2(outside: &Tuple, (crc32c, unique_id, vip): (bool, bool, bool), id: u128) -> Option<Header> {
    let transport = match outside.protocol {
        protocol::TCP => 1,
        protocol::UDP => 2,
        _ => return None,
    };
    let mut header = Header::new();
    header.try_extend_from_slice(&SIGNATURE).ok()?;
    let family = if outside.is_v4() { 0x10 } else { 0x20 };
    header.try_extend_from_slice(&[PROXY, family | transport, 0, 0]).ok()?;
    for Endpoint { address, .. } in [outside.source, outside.destination] {
        let octets = address.to_be_bytes();
        header.try_extend_from_slice(if outside.is_v4() { &octets[12..] } else { &octets }).ok()?;
    }
    for Endpoint { port, .. } in [outside.source, outside.destination] {
        header.try_extend_from_slice(&port.to_be_bytes()).ok()?;
    }
    if vip {
        tlv(&mut header, TLV_VIP, name_of(outside)?.as_bytes())?;
    }
    if unique_id {
        tlv(&mut header, TLV_UNIQUE_ID, &id.to_be_bytes())?;
    }
    // An even length in the end: what follows keeps its place in the sum of a checksum.
    if (header.len() + if crc32c { 7 } else { 0 }) % 2 != 0 {
        tlv(&mut header, TLV_NOOP, &[])?;
    }
    let checksum_at = header.len() + 3;
    if crc32c {
        tlv(&mut header, TLV_CRC32C, &[0; 4])?;
    }
    let behind = u16::try_from(header.len().checked_sub(16)?).ok()?;
    header.get_mut(14..16)?.copy_from_slice(&behind.to_be_bytes());
    if crc32c {
        let checksum = crc(&header);
        header.get_mut(checksum_at..checksum_at + 4)?.copy_from_slice(&checksum.to_be_bytes());
    }
    Some(header)
}

/// The VIP of a connection, in the words of `status`.
fn name_of(outside: &Tuple) -> Option<ArrayString<VIP_MOST>> {
    let mut name = ArrayString::new();
    let protocol = if outside.protocol == protocol::TCP { "tcp" } else { "udp" };
    let port = outside.destination.port;
    match ip(outside.destination.address) {
        IpAddr::V4(v4) => write!(name, "{v4}:{port}/{protocol}"),
        IpAddr::V6(v6) => write!(name, "[{v6}]:{port}/{protocol}"),
    }
    .ok()?;
    Some(name)
}

fn tlv(header: &mut Header, kind: u8, value: &[u8]) -> Option<()> {
    let [high, low] = u16::try_from(value.len()).ok()?.to_be_bytes();
    header.try_extend_from_slice(&[kind, high, low]).ok()?;
    header.try_extend_from_slice(value).ok()
}

/// CRC32c (RFC 9260, appendix A): a header is short and made once, so bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ POLYNOMIAL };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vip::address_bits;

    fn outside(client: &str, vip: &str, protocol: u8) -> Tuple {
        let end = |address: &str, port| Endpoint { address: address_bits(address.parse().unwrap()), port };
        Tuple { source: end(client, 56_324), destination: end(vip, 443), protocol }
    }

    #[test]
    fn crc_of_the_check_string() {
        assert_eq!(crc(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn lines_of_version_1() {
        let line = |client, vip| header(Style::V1, &outside(client, vip, protocol::TCP), 0).unwrap().to_vec();
        assert_eq!(line("192.0.2.7", "203.0.113.10"), b"PROXY TCP4 192.0.2.7 203.0.113.10 56324 443\r\n");
        assert_eq!(line("2001:db8::7", "2001:db8:1::a"), b"PROXY TCP6 2001:db8::7 2001:db8:1::a 56324 443\r\n");
        assert_eq!(header(Style::V1, &outside("192.0.2.7", "203.0.113.10", protocol::UDP), 0), None);
    }

    /// Byte by byte as section 2.2 has it.
    #[test]
    fn version_2() {
        let plain = Style::V2 { crc32c: false, unique_id: false, vip: false };
        let got = header(plain, &outside("192.0.2.7", "203.0.113.10", protocol::TCP), 0).unwrap();
        let mut expected = SIGNATURE.to_vec();
        expected.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 203, 0, 113, 10, 0xdc, 0x04, 0x01, 0xbb]);
        assert_eq!(got.as_slice(), expected);
        let udp = header(plain, &outside("2001:db8::7", "2001:db8:1::a", protocol::UDP), 0).unwrap();
        assert_eq!((udp.len(), &udp[12..16]), (52, &[0x21, 0x22, 0, 36][..]));
    }

    #[test]
    fn tlvs_follow_the_addresses() {
        let all = Style::V2 { crc32c: true, unique_id: true, vip: true };
        let mut got = header(all, &outside("2001:db8::7", "2001:db8:1::a", protocol::TCP), 0x0102).unwrap();
        let mut rest = &got[52..];
        let mut found = Vec::new();
        while let [kind, high, low, behind @ ..] = rest {
            let (value, behind) = behind.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            found.push((*kind, value.to_vec()));
            rest = behind;
        }
        assert!(rest.is_empty());
        assert_eq!(found[0], (TLV_VIP, b"[2001:db8:1::a]:443/tcp".to_vec()));
        assert_eq!(found[1], (TLV_UNIQUE_ID, 0x0102_u128.to_be_bytes().to_vec()));
        let checksum = found.pop().unwrap();
        assert_eq!(checksum.0, TLV_CRC32C);
        assert!(found[2..].iter().all(|tlv| *tlv == (TLV_NOOP, Vec::new())));
        assert!(got.len().is_multiple_of(2));
        assert_eq!(usize::from(u16::from_be_bytes([got[14], got[15]])), got.len() - 16);
        let sent = u32::from_be_bytes(checksum.1.as_slice().try_into().unwrap());
        let end = got.len();
        got[end - 4..].fill(0);
        assert_eq!(sent, crc(&got));
    }

    #[test]
    fn the_longest_fits() {
        let wide = "2001:db8:1111:2222:3333:4444:5555:6666";
        let all = Style::V2 { crc32c: true, unique_id: true, vip: true };
        for style in [Style::V1, all] {
            assert!(header(style, &outside(wide, wide, protocol::TCP), u128::MAX).is_some(), "{style:?}");
        }
    }
}
