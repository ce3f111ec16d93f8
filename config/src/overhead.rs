//! What the forwarding modes add to a packet.

use crate::model::{Forward, Gue};
use std::net::IpAddr;

/// IPv4 without options (RFC 791, section 3.1).
const IPV4: u16 = 20;
/// IPv6 without extension headers (RFC 8200, section 3).
const IPV6: u16 = 40;
/// GRE without optional fields (RFC 2784, section 2).
const GRE: u16 = 4;
/// UDP (RFC 768).
const UDP: u16 = 8;
/// GUE variant 0 without extension fields (draft-ietf-intarea-gue, section 3).
const GUE: u16 = 4;

/// Bytes of layer 3 and above that a packet to `backend` grows by: the outer headers; 0 without encapsulation.
#[must_use]
pub fn overhead(forward: Forward, gue: Gue, backend: IpAddr) -> u16 {
    let outer = if backend.is_ipv4() { IPV4 } else { IPV6 };
    match forward {
        Forward::L2dsr | Forward::Nat | Forward::Fullnat => 0,
        Forward::Ipip => outer,
        Forward::Gre => outer + GRE,
        // Variant 1 puts the inner IP packet right behind UDP.
        Forward::Gue if gue.variant == 1 => outer + UDP,
        Forward::Gue => outer + UDP + GUE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_headers() {
        let (v4, v6) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]));
        let direct = Gue { variant: 1, ..Gue::default() };
        let cases = [
            (Forward::L2dsr, Gue::default(), 0, 0),
            (Forward::Ipip, Gue::default(), 20, 40),
            (Forward::Gre, Gue::default(), 24, 44),
            (Forward::Gue, Gue::default(), 32, 52),
            (Forward::Gue, direct, 28, 48),
        ];
        for (forward, gue, over_v4, over_v6) in cases {
            assert_eq!(overhead(forward, gue, v4), over_v4, "{forward} {gue:?}");
            assert_eq!(overhead(forward, gue, v6), over_v6, "{forward} {gue:?}");
        }
    }
}
