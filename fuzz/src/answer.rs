//! What the targets about health checks and their seeds share.

use std::net::{Ipv4Addr, Ipv6Addr};

/// First byte of an input of `answers`: the line of an agent.
pub const LINE: u8 = 0;
/// A DNS message.
pub const DNS: u8 = 1;
/// A gRPC message.
pub const GRPC: u8 = 2;
/// A packet to the prober, from its IP header on.
pub const PACKET: u8 = 3;

/// The id of the DNS question.
pub const DNS_ID: u16 = 7;
/// Our own address.
pub const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The VIP.
pub const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// A VIP of IPv6.
pub const VIP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
/// A backend behind a tunnel.
pub const BACKEND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 11);
/// One of IPv6.
pub const BACKEND_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 0x11);
