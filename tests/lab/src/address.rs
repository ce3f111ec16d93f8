//! The address plan of every lab. Namespaces keep labs apart, so all of them use the same one.
//!
//! | part | IPv4 | IPv6 | Ethernet |
//! | --- | --- | --- | --- |
//! | segment | 10.0.0.0/24 | fd00::/64 | |
//! | balancer | 10.0.0.1 | fd00::1 | 02:00:00:00:00:01 |
//! | backend n (from 1) | 10.0.0.(10+n) | fd00::(10+n) | 02:00:00:00:01:n |
//! | router | 10.0.0.254 | fd00::fe | 02:00:00:00:00:fe |
//! | clients' link | 10.1.0.0/24 | fd01::/64 | |
//! | further addresses of the client | 10.77.0.0/16 | | |
//! | outside link (two-armed) | 10.2.0.0/24 | fd02::/64 | 02:00:00:00:02:01 |
//! | VIPs | 203.0.113.0/24 | 2001:db8:0:1::/64 | |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The prefix that the router sends to the balancer.
pub const VIPS_V4: &str = "203.0.113.0/24";
/// The prefix that the router sends to the balancer.
pub const VIPS_V6: &str = "2001:db8:0:1::/64";
/// Further addresses of the client, behind its link.
pub const CROWD_V4: &str = "10.77.0.0/16";
/// The balancer's own address on the segment.
pub const BALANCER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The balancer's own address on the segment.
pub const BALANCER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
/// The balancer's own address on the outside link of the two-armed layout.
pub const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
/// The balancer's own address on the outside link of the two-armed layout.
pub const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 1);
/// The router's address on the segment.
pub const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
/// The router's address on the segment.
pub const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe);
/// The router's address on the outside link of the two-armed layout.
pub const ROUTER_OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 254);
/// The router's address on the outside link of the two-armed layout.
pub const ROUTER_OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 0xfe);
/// The balancer's interface on the segment.
pub const BALANCER_MAC: Mac = [2, 0, 0, 0, 0, 0x01];
/// The balancer's interface on the outside link.
pub const OUTSIDE_MAC: Mac = [2, 0, 0, 0, 2, 0x01];
/// The router's interface on the segment.
pub const ROUTER_MAC: Mac = [2, 0, 0, 0, 0, 0xfe];
/// The router's interface on the outside link.
pub const ROUTER_OUTSIDE_MAC: Mac = [2, 0, 0, 0, 2, 0xfe];

/// VIP number `n` of the lab.
pub const fn vip_v4(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, n))
}

/// VIP number `n` of the lab.
pub const fn vip_v6(n: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n))
}

/// Address of backend `n`, from 1.
pub const fn backend_v4(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 10 + n)
}

/// Address of backend `n`, from 1: its last group reads as the decimal `10 + n`, the same digits as in IPv4.
pub fn backend_v6(n: u8) -> Ipv6Addr {
    let digits = u16::from(10 + n);
    let read_as_hex = digits / 100 * 0x100 + digits / 10 % 10 * 0x10 + digits % 10;
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, read_as_hex)
}

/// Ethernet address of backend `n`, from 1.
pub const fn backend_mac(n: u8) -> Mac {
    [2, 0, 0, 0, 1, n]
}

/// Address `n` of the client, from 0.
pub const fn client_v4(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2 + n))
}

/// Address `n` of the client beyond those of its link, from 0; for [`crate::Lab::add_crowd`].
pub const fn crowd_v4(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 77, high, low))
}

/// Address `n` of the client, from 0.
pub const fn client_v6(n: u8) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2 + n as u16))
}

/// An Ethernet address as text.
pub fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_have_the_same_digits_in_both_families() {
        assert_eq!(backend_v4(1).to_string(), "10.0.0.11");
        assert_eq!(backend_v6(1).to_string(), "fd00::11");
        assert_eq!(backend_v6(99).to_string(), "fd00::109");
        assert_eq!(mac_text(backend_mac(11)), "02:00:00:00:01:0b");
    }
}
