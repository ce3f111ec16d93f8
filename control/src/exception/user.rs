//! Who has a use for a packet: Guideway, the kernel, or both.

use crate::responder::ip::{self, ICMP, ICMPV6, Ip, TCP, UDP};
use guideway_dataplane::punt::PuntClass;
use guideway_dataplane::wire::icmp;
use std::net::IpAddr;

/// RFC 792.
const ECHO_REPLY_V4: u8 = 0;
/// RFC 4443, section 4.2.
const ECHO_REPLY_V6: u8 = 129;

/// Who gets a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The control side alone.
    Guideway,
    /// The kernel alone.
    Kernel,
    /// Each gets one.
    Both,
}

/// Who has a use for a packet that was punted on a port with an exception path. `frame` is untagged; `is_of_probe` says
/// whether TCP from one address to another is part of a probe: [`crate::responder::Responder::is_of_probe`].
#[must_use]
pub fn user(class: PuntClass, frame: &[u8], is_of_probe: impl Fn(IpAddr, IpAddr) -> bool) -> User {
    match class {
        // Both resolve neighbors, and answer for the same addresses by the same MAC.
        PuntClass::Neighbor => User::Both,
        PuntClass::Icmp => user_of_icmp(frame, is_of_probe),
        // Probes ask VIPs. Anyone else's SYN-ACK or reset belongs to a connection that the kernel opened; and whatever a
        // VIP sends on a probe's connection is not for the kernel, whose reset would go astray.
        PuntClass::Probe | PuntClass::Bgp | PuntClass::Other | PuntClass::Exception => match ip::parse(frame) {
            Ok(Ip { protocol: TCP, source, destination, .. }) if is_of_probe(source, destination) => User::Guideway,
            // Datagrams of that class are answers to checks; others from a VIP may be for a program of the kernel.
            Ok(Ip { protocol: UDP, source, destination, .. }) if class == PuntClass::Probe => {
                if is_of_probe(source, destination) { User::Guideway } else { User::Kernel }
            }
            _ => User::Kernel,
        },
    }
}

/// The control side answers echo requests, of which a VIP's are none of the kernel's business. An error may speak of a
/// probe, of the path to a backend, or of what the kernel sent. A VIP that replies to an echo request was asked by a check.
fn user_of_icmp(frame: &[u8], is_of_probe: impl Fn(IpAddr, IpAddr) -> bool) -> User {
    let Ok(Ip { protocol, payload, source, destination, .. }) = ip::parse(frame) else { return User::Kernel };
    let Some(message) = frame.get(payload).and_then(<[u8]>::first).copied() else { return User::Kernel };
    match (protocol, message) {
        (ICMP, icmp::V4_ECHO_REQUEST) | (ICMPV6, icmp::V6_ECHO_REQUEST) => User::Guideway,
        (ICMP, ECHO_REPLY_V4) | (ICMPV6, ECHO_REPLY_V6) if is_of_probe(source, destination) => User::Guideway,
        (ICMP, message) if icmp::is_error_v4(message) => User::Both,
        (ICMPV6, message) if icmp::is_error_v6(message) => User::Both,
        _ => User::Kernel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_dataplane::craft::Craft;
    use guideway_dataplane::wire::tcp;

    const VIPS: [&str; 2] = ["203.0.113.10", "2001:db8::10"];
    const OWN: [&str; 2] = ["10.0.0.1", "fd00::1"];
    const PEER: [&str; 2] = ["10.0.0.9", "fd00::9"];

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn decide(class: PuntClass, frame: &[u8]) -> User {
        let is = |list: &[&str], address: IpAddr| list.contains(&address.to_string().as_str());
        user(class, frame, |source, destination| is(&VIPS, source) && is(&OWN, destination))
    }

    fn of(packet: Craft) -> Vec<u8> {
        packet.macs([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9]).frame()
    }

    #[test]
    fn tcp_of_vips_is_for_the_prober_and_that_of_others_for_the_kernel() {
        for family in 0..2 {
            let tcp = |class, from: &str, to: &str, flags| {
                decide(class, &of(Craft::tcp((address(from), 80).into(), (address(to), 1_025).into(), flags)))
            };
            let (vip, own, peer) = (VIPS[family], OWN[family], PEER[family]);
            for flags in [tcp::SYN | tcp::ACK, tcp::RST | tcp::ACK] {
                assert_eq!(tcp(PuntClass::Probe, vip, own, flags), User::Guideway);
                assert_eq!(tcp(PuntClass::Probe, peer, own, flags), User::Kernel);
            }
            for class in [PuntClass::Other, PuntClass::Exception] {
                assert_eq!(tcp(class, vip, own, tcp::ACK), User::Guideway, "of a connection that a probe left behind");
                assert_eq!(tcp(class, vip, peer, tcp::ACK), User::Kernel, "through this machine to a client");
                assert_eq!(tcp(class, peer, own, tcp::ACK), User::Kernel);
            }
            let udp = Craft::udp((address(vip), 53).into(), (address(own), 5_300).into());
            assert_eq!(decide(PuntClass::Exception, &of(udp)), User::Kernel);
            let answer = |from: &str| Craft::udp((address(from), 53).into(), (address(own), 61_500).into());
            assert_eq!(decide(PuntClass::Probe, &of(answer(vip))), User::Guideway, "to a check");
            assert_eq!(decide(PuntClass::Probe, &of(answer(peer))), User::Kernel);
        }
    }

    #[test]
    fn icmp_is_shared_by_its_type() {
        let v4 = |kind| {
            let (from, to) = (address(PEER[0]), address(OWN[0]));
            decide(PuntClass::Icmp, &of(Craft::icmp(from, to, kind, 0, [0; 4])))
        };
        let v6 = |kind| {
            let (from, to) = (address(PEER[1]), address(OWN[1]));
            decide(PuntClass::Icmp, &of(Craft::icmp(from, to, kind, 0, [0; 4])))
        };
        assert_eq!([v4(8), v6(128)], [User::Guideway; 2], "echo requests");
        assert_eq!([v4(0), v6(129), v4(13), v6(130)], [User::Kernel; 4], "echo replies, and the rest");
        let (vip, own) = (VIPS.map(address), OWN.map(address));
        let reply = Craft::icmp(vip[0], own[0], 0, 0, [0; 4]);
        assert_eq!(decide(PuntClass::Icmp, &of(reply)), User::Guideway, "to a check");
        let reply = Craft::icmp(vip[1], own[1], 129, 0, [0; 4]);
        assert_eq!(decide(PuntClass::Icmp, &of(reply)), User::Guideway, "to a check");
        for error in [3, 11, 12] {
            assert_eq!(v4(error), User::Both, "{error}");
        }
        for error in 1..=4 {
            assert_eq!(v6(error), User::Both, "{error}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_to_the_kernel() {
        for class in PuntClass::ALL {
            let expected = if class == PuntClass::Neighbor { User::Both } else { User::Kernel };
            for frame in [&[][..], &[0; 14], &[0xff; 60]] {
                assert_eq!(decide(class, frame), expected, "{}", class.label());
            }
        }
    }
}
