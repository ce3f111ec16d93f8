//! Which worker a frame comes to: by receive-side scaling as cards do it, the Toeplitz hash over addresses and ports.
//!
//! Deliberately not the flow's hash of the dataplane: a flow's fragments, and the ICMP errors about it, come to other
//! workers than its whole packets, as they do on a card.

use guideway_dataplane::hash::{Toeplitz, USUAL_KEY};
use guideway_dataplane::wire::{ethernet, ipv4, protocol};
use std::sync::LazyLock;

static TOEPLITZ: LazyLock<Toeplitz> = LazyLock::new(|| Toeplitz::new(&USUAL_KEY));

/// Entries of the table from hashes to queues.
const INDIRECTION: usize = 128;

/// VLAN tags that a card looks behind.
const TAGS: usize = 2;

/// The worker of `workers` that gets a frame; what is not IP goes to the first.
pub(super) fn worker_of(frame: &[u8], workers: usize) -> usize {
    let input = input_of(frame).unwrap_or_default();
    TOEPLITZ.hash(&input) as usize % INDIRECTION % workers.max(1)
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

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_dataplane::craft::Craft;
    use guideway_dataplane::ids::WorkerId;
    use guideway_dataplane::rss::{HashesPorts, Rss};
    use guideway_dataplane::session::{Endpoint, Tuple};
    use guideway_dataplane::vip::address_bits;
    use guideway_dataplane::wire::tcp;
    use std::net::SocketAddr;

    /// What a card does that hashes the ports of such packets, or of none; each entry of its table is a worker.
    fn card(hashes_ports: HashesPorts) -> Rss {
        Rss::new(&USUAL_KEY, (0..INDIRECTION as u16).map(WorkerId).collect(), hashes_ports).unwrap()
    }

    fn tuple(source: SocketAddr, destination: SocketAddr, protocol: u8) -> Tuple {
        let end = |end: SocketAddr| Endpoint { address: address_bits(end.ip()), port: end.port() };
        Tuple { source: end(source), destination: end(destination), protocol }
    }

    #[test]
    fn frames_go_where_a_card_brings_them() {
        let all = card(HashesPorts { tcp_v4: true, udp_v4: true, tcp_v6: true, udp_v6: true });
        for (source, destination) in
            [("66.9.149.187:2794", "161.142.100.80:1766"), ("[3ffe:501:8::1]:14230", "[ff02::1]:4739")]
        {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let worker = |craft: &Craft| worker_of(&craft.frame(), INDIRECTION);
            let to = |protocol| all.worker_of(&tuple(source, destination, protocol)).index();
            assert_eq!(worker(&Craft::tcp(source, destination, tcp::SYN)), to(protocol::TCP));
            assert_eq!(worker(&Craft::udp(source, destination)), to(protocol::UDP));
            let gre = Craft::raw(source.ip(), destination.ip(), 47).payload(&[0; 8]);
            assert_eq!(worker(&gre), to(47));
        }
    }

    #[test]
    fn fragments_go_by_addresses_and_tags_do_not_count() {
        let (source, destination) = ("66.9.149.187:2794".parse().unwrap(), "161.142.100.80:1766".parse().unwrap());
        let craft = Craft::udp(source, destination).payload(&[0; 64]);
        for fragment in [0x2000, 0x2001, 1] {
            let frame = craft.clone().fragment(fragment).frame();
            let by_addresses = card(HashesPorts::default()).worker_of(&tuple(source, destination, protocol::UDP));
            assert_eq!(worker_of(&frame, INDIRECTION), by_addresses.index());
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
