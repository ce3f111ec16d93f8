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
    Vlan, "vlan_unconfigured", "The frame has a VLAN tag and no interface is configured for it.";
    Ethertype, "ethertype_unknown", "Neither IPv4, IPv6 nor ARP.";
    BadArp, "arp_invalid", "An ARP packet that does not speak of IPv4 over Ethernet.";
    BadIpHeader, "ip_header_invalid", "The version or the header length of the IP header is wrong.";
    BadIpLength, "ip_length_invalid", "The IP length is shorter than its header or longer than the frame.";
    BadIpChecksum, "ip_checksum", "The checksum of the IPv4 header is wrong.";
    TtlExpired, "ttl_expired", "TTL or hop limit is zero.";
    MartianSource, "martian_source", "The source address is unspecified, loopback, multicast or broadcast.";
    Land, "land", "Source and destination address are the same.";
    Fragment, "fragment", "A fragment: the transport header is not there to decide by.";
    ExtensionHeader, "ipv6_extension_header", "An IPv6 extension header before the transport header.";
    TransportTruncated, "transport_truncated", "The packet ends within its transport header.";
    BadTcpHeader, "tcp_header_invalid", "The TCP data offset is too small or points past the packet.";
    BadUdpLength, "udp_length_invalid", "The UDP length is too small or longer than the packet.";
    ZeroPort, "port_zero", "The source or destination port is zero.";
    NotForUs, "not_for_us", "The destination is neither a VIP nor an own address.";
    NoVip, "vip_no_service", "The destination is a VIP's address, but no VIP takes the protocol and port.";
    IcmpError, "icmp_error", "An ICMP error for a VIP.";
    NoBackend, "no_backend", "The pool has no backend to give the packet to.";
    UnresolvedNeighbor, "neighbor_unresolved", "The MAC address of the next hop is not known yet.";
    MtuExceeded, "mtu_exceeded", "The packet is larger than the MTU of the port that it would leave by.";
    NoHeadroom, "no_headroom", "The buffer has no room for the outer header.";
    PortDown, "port_down", "The link of the port that the packet would leave by is down.";
    TxFull, "tx_full", "The transmit queue took no more.";
    HandoffFull, "handoff_full", "The ring to the worker that owns the transmit queue was full.";
    PuntRate, "punt_rate_limited", "More packets of a class for the control side than its rate limit allows.";
    PuntFull, "punt_ring_full", "The ring of a class to the control side was full.";
    StaleInjection, "injection_stale", "A packet of the control side names a backend or port that is no longer there.";
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
