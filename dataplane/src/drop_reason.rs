//! Why packets are dropped: one list gives the enum, the metric label and the help text.

macro_rules! drop_reasons {
    ($($variant:ident, $label:literal, $help:literal;)*) => {
        /// Why a packet was dropped. Each reason has its own counter in every worker.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $help] $variant,)*
        }

        impl DropReason {
            /// Every reason, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in metrics, `status` and `replay --json`.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// One sentence for the operator.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

drop_reasons! {
    Runt, "runt", "The frame is shorter than its headers.";
    NotOurMac, "not_our_mac", "The destination MAC is not the port's: a switch flooded the frame.";
    Vlan, "vlan_unconfigured", "No interface of the port is configured for the frame's VLAN, or for untagged frames.";
    VlanStacked, "vlan_stacked", "The frame has two VLAN tags and no interface is configured for them.";
    Ethertype, "ethertype_unknown", "Neither IPv4, IPv6 nor ARP.";
    BadArp, "arp_invalid", "An ARP packet that does not speak of IPv4 over Ethernet.";
    BadIpHeader, "ip_header_invalid", "The version or the header length of the IP header is wrong.";
    BadIpLength, "ip_length_invalid", "The IP length is shorter than its header, or longer than this version forwards.";
    Truncated, "ip_truncated", "The frame is shorter than its IP length says: something on the way cut it.";
    BadIpChecksum, "ip_checksum", "The checksum of the IPv4 header is wrong.";
    TransportChecksum, "transport_checksum", "The network card found the TCP or UDP checksum wrong.";
    ReservedFlag, "ip_reserved_flag", "The reserved flag of the IPv4 header is set.";
    TtlExpired, "ttl_expired", "TTL or hop limit is zero.";
    MartianSource, "martian_source", "The source address is unspecified, loopback, multicast or broadcast.";
    Land, "land", "Source and destination address are the same.";
    FragmentInvalid, "fragment_invalid", "A fragment whose offset and length cannot be those of one.";
    FragmentTiny, "fragment_tiny", "A first fragment without its whole transport header, or one that would overwrite it.";
    FragmentOverlap, "fragment_overlap", "A fragment that overlaps another one of its datagram.";
    FragmentTooMany, "fragment_too_many", "More fragments of one datagram than are followed.";
    FragmentFull, "fragment_hold_full", "A fragment was held for the first one of its datagram, and gave way to others that had to be.";
    FragmentExpired, "fragment_expired", "A fragment was held, and the first one of its datagram did not come in time.";
    HeaderChain, "ipv6_header_chain", "The chain of IPv6 extension headers is broken or too long.";
    RoutingHeader, "ipv6_routing_header", "An IPv6 routing header that names further hops.";
    TransportTruncated, "transport_truncated", "The packet ends within its transport header.";
    BadTcpHeader, "tcp_header_invalid", "The TCP data offset is too small or points past the packet.";
    BadTcpFlags, "tcp_flags_invalid", "No TCP sends these flags together: SYN with FIN or RST, or none at all.";
    BadUdpLength, "udp_length_invalid", "The UDP length is too small or longer than the packet.";
    UdpWithoutChecksum, "udp_checksum_missing", "A UDP datagram over IPv6 without a checksum.";
    ZeroPort, "port_zero", "The source or destination port is zero.";
    NotForUs, "not_for_us", "The destination is neither a VIP nor an own address.";
    NoVip, "vip_no_service", "The destination is a VIP's address, but no VIP takes the protocol and port.";
    IcmpChecksum, "icmp_checksum", "An ICMP error for a VIP whose checksum is wrong.";
    IcmpUnwanted, "icmp_unwanted", "An ICMP redirect or source quench for a VIP: neither is followed.";
    IcmpQuote, "icmp_quote_invalid", "An ICMP error for a VIP that quotes no packet of that VIP's, or too little of it.";
    IcmpQuoteFragment, "icmp_quote_fragment", "An ICMP error for a VIP that quotes a fragment without ports.";
    NoBackend, "no_backend", "The pool has no backend to give the packet to.";
    UnresolvedNeighbor, "neighbor_unresolved", "The MAC address of the next hop is not known yet.";
    MtuExceeded, "mtu_exceeded", "The packet is larger than its way carries, and its sender could not be told.";
    NoHeadroom, "no_headroom", "The buffer has no room for the outer header.";
    NoBuffer, "no_buffer", "No buffer was free for the fragments of an outer packet.";
    PortDown, "port_down", "The link of the port that the packet would leave by is down.";
    TxFull, "tx_full", "The transmit queue took no more.";
    HandoffFull, "handoff_full", "The ring to another worker, that of the transmit queue or of the session, was full.";
    PuntRate, "punt_rate_limited", "More packets of a class for the control side than its rate limit allows.";
    PuntFull, "punt_ring_full", "The ring of a class to the control side was full.";
    StaleInjection, "injection_stale", "A packet of the control side names a backend or port that is no longer there.";
    SessionNone, "session_none", "The pool rewrites addresses, and the packet neither begins a session nor belongs to one.";
    SessionsFull, "sessions_full", "There is no room for another session at this worker.";
    SessionTaken, "session_taken", "Another session has the same addresses and ports on its way to the backend.";
    SessionBackend, "session_backend_gone", "The backend of the session is no longer in its pool.";
    SourcePorts, "source_ports_exhausted", "No source port is free for another session with the backend.";
    ConnectRetried, "connect_retried", "A backend refused a connection, which another backend got: the client learns of neither.";
    ConnectLate, "connect_late", "A backend answered a connection that another one had got meanwhile: it is told that nobody waits.";
    SynProxyJoining, "syn_proxy_joining", "A segment that the SYN proxy used up: an acknowledgement of its cookie, or of a backend that joins.";
    ProxyEarly, "proxy_early", "A segment to a backend that is to get a PROXY header first, before the handshake is complete.";
    ProxyConsumed, "proxy_consumed", "A backend's segment that speaks of nothing but the PROXY header: its client knows of none.";
    ProxySegment, "proxy_segment", "A TCP segment beside a PROXY header that cannot be changed: in several buffers, or without room.";
    ProxyFull, "proxy_full", "More connections wait for the acknowledgement of their PROXY header than there is room for.";
    NatUdpChecksum, "nat_udp_checksum", "A UDP datagram without a checksum goes from IPv4 to IPv6, and is not whole in one buffer.";
    NatUntranslatable, "nat_untranslatable", "Translation does not know the packet: neither TCP nor UDP, or without a form in the other IP version.";
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_metric_names() {
        let labels: HashSet<_> = DropReason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), DropReason::COUNT);
        let valid =
            |label: &str| label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
        assert!(labels.iter().all(|label| valid(label)), "{labels:?}");
    }

    #[test]
    fn a_reason_is_its_index() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
