//! Which worker a frame comes to: by receive-side scaling as cards do it, the Toeplitz hash over addresses and ports.
//!
//! Deliberately not the flow's hash of the dataplane: a flow's fragments, and the ICMP errors about it, come to other
//! workers than its whole packets, as they do on a card.

use guideway_dataplane::wire::{ethernet, ipv4, protocol};

/// The key that the vectors of the specification are made with (Microsoft, "Verifying the RSS Hash Calculation").
const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa,
];

/// Entries of the table from hashes to queues.
const INDIRECTION: usize = 128;

/// VLAN tags that a card looks behind.
const TAGS: usize = 2;

/// The worker of `workers` that gets a frame; what is not IP goes to the first.
pub(super) fn worker_of(frame: &[u8], workers: usize) -> usize {
    let input = input_of(frame).unwrap_or_default();
    toeplitz(&input) as usize % INDIRECTION % workers.max(1)
}

/// What is hashed of a frame: addresses, and ports if every packet of the flow shows them. `None`: it is not IP.
fn input_of(frame: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut ethertype = be16(frame, at)?;
    for _ in 0..TAGS {
        if matches!(ethertype, ethernet::TYPE_VLAN | ethernet::TYPE_QINQ) {
            at += 4;
            ethertype = be16(frame, at)?;
        }
    }
    let packet = frame.get(at + 2..)?;
    let (addresses, number, transport) = match ethertype {
        ethernet::TYPE_IPV4 => {
            let header_len = usize::from(packet.first()? & 0x0f) * 4;
            let is_fragment = be16(packet, 6)? & (ipv4::MORE_FRAGMENTS | ipv4::OFFSET_MASK) != 0;
            let transport = packet.get(header_len..).filter(|_| !is_fragment);
            (packet.get(12..20)?, *packet.get(9)?, transport)
        }
        // Behind extension headers, that of a fragment among them, cards look for no ports.
        ethernet::TYPE_IPV6 => (packet.get(8..40)?, *packet.get(6)?, packet.get(40..)),
        _ => return None,
    };
    let has_ports = matches!(number, protocol::TCP | protocol::UDP);
    let ports = transport.filter(|_| has_ports).and_then(|transport| transport.get(..4)).unwrap_or(&[]);
    Some([addresses, ports].concat())
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// For each bit that is set, the 32 bits of the key that begin where it stands.
fn toeplitz(input: &[u8]) -> u32 {
    let mut hash = 0;
    for (index, byte) in input.iter().enumerate() {
        let window =
            KEY.get(index..index + 5).unwrap_or(&[]).iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for bit in (0..8).filter(|bit| byte << bit & 0x80 != 0) {
            hash ^= (window >> (8 - bit)) as u32;
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_dataplane::craft::Craft;
    use guideway_dataplane::wire::tcp;
    use std::net::SocketAddr;

    /// Source, destination, hash over the addresses, hash over addresses and ports: from the specification.
    const VECTORS: [(&str, &str, u32, u32); 4] = [
        ("66.9.149.187:2794", "161.142.100.80:1766", 0x323e_8fc2, 0x51cc_c178),
        ("199.92.111.2:14230", "65.69.140.83:4739", 0xd718_262a, 0xc626_b0ea),
        ("[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x2cc1_8cd5, 0x4020_7d3d),
        ("[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0x0f0c_461c, 0xdde5_1bbf),
    ];

    #[test]
    fn it_is_the_hash_of_the_specification() {
        for (source, destination, addresses, ports) in VECTORS {
            let (source, destination): (SocketAddr, SocketAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());
            let hash = |craft: &Craft| toeplitz(&input_of(&craft.frame()).unwrap());
            assert_eq!(hash(&Craft::tcp(source, destination, tcp::SYN)), ports, "{source}");
            assert_eq!(hash(&Craft::udp(source, destination)), ports, "{source}");
            assert_eq!(hash(&Craft::raw(source.ip(), destination.ip(), 47).payload(&[0; 8])), addresses, "{source}");
        }
    }

    #[test]
    fn fragments_go_by_addresses_and_tags_do_not_count() {
        let (source, destination) = ("66.9.149.187:2794".parse().unwrap(), "161.142.100.80:1766".parse().unwrap());
        let craft = Craft::udp(source, destination).payload(&[0; 64]);
        for fragment in [0x2000, 0x2001, 1] {
            let frame = craft.clone().fragment(fragment).frame();
            assert_eq!(toeplitz(&input_of(&frame).unwrap()), 0x323e_8fc2);
        }
        let frame = craft.frame();
        let tagged = [&frame[..12], &[0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 7], &frame[12..]].concat();
        assert_eq!(input_of(&tagged), input_of(&frame));
    }

    #[test]
    fn what_is_not_ip_goes_to_the_first() {
        let mut arp = [0xff; 60];
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        for frame in [&arp[..], &[], &arp[..13]] {
            assert_eq!(worker_of(frame, 64), 0);
        }
    }

    #[test]
    fn flows_spread() {
        let destination = "203.0.113.10:80".parse().unwrap();
        let mut counts = [0_u32; 4];
        for n in 0..4_000_u16 {
            let source = SocketAddr::new([198, 51, (n >> 8) as u8, n as u8].into(), 1_024 + n);
            counts[worker_of(&Craft::tcp(source, destination, tcp::SYN).frame(), 4)] += 1;
        }
        assert!(counts.iter().all(|count| (700..1_300).contains(count)), "{counts:?}");
    }
}
