//! VLAN tags (IEEE 802.1Q, IEEE 802.1ad).

use super::ethernet::{TYPE_QINQ, TYPE_VLAN};
use arrayvec::ArrayVec;

/// Length of one tag, in bytes.
pub const TAG_LEN: usize = 4;
/// The VLAN identifier's bits in a tag's second half; above them stand PCP and DEI.
pub const VID_MASK: u16 = 0x0fff;
/// The most bytes that [`Tags`] are.
pub const MAX_LEN: usize = 2 * TAG_LEN;

/// The tags that a frame carries between its source address and its EtherType: none, a customer tag (0x8100), or a
/// service tag (0x88a8) and a customer tag. Priority and drop eligibility are zero.
///
/// Kept as two identifiers without alignment, so that a backend fits its cache line and "none" is one comparison.
/// Identifier 0 means "no tag": on the wire it would be a priority tag, which names no VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags([u8; 4]);

impl Tags {
    /// No tag.
    pub const NONE: Self = Self([0; 4]);

    /// One tag with this VLAN identifier, of which 12 bits count.
    #[must_use]
    pub const fn customer(vid: u16) -> Self {
        Self::service(0, vid)
    }

    /// A service tag and inside it a customer tag; of both identifiers 12 bits count.
    #[must_use]
    pub const fn service(svid: u16, vid: u16) -> Self {
        let ([s0, s1], [c0, c1]) = ((svid & VID_MASK).to_be_bytes(), (vid & VID_MASK).to_be_bytes());
        Self([s0, s1, c0, c1])
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        u32::from_ne_bytes(self.0) == 0
    }

    /// Their length in bytes: 0, 4 or 8.
    #[inline]
    #[must_use]
    pub const fn len(self) -> usize {
        let [service, customer] = self.vids();
        TAG_LEN * ((service != 0) as usize + (customer != 0) as usize)
    }

    /// As they stand on the wire.
    #[must_use]
    pub fn bytes(self) -> ArrayVec<u8, MAX_LEN> {
        let mut bytes = ArrayVec::new();
        for (protocol, vid) in [TYPE_QINQ, TYPE_VLAN].into_iter().zip(self.vids()) {
            if vid != 0 {
                bytes.extend(protocol.to_be_bytes());
                bytes.extend(vid.to_be_bytes());
            }
        }
        bytes
    }

    /// The identifiers of service and customer tag.
    const fn vids(self) -> [u16; 2] {
        let Self([s0, s1, c0, c1]) = self;
        [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([c0, c1])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_wire() {
        let cases: [(Tags, &[u8]); 3] = [
            (Tags::NONE, &[]),
            (Tags::customer(120), &[0x81, 0x00, 0x00, 0x78]),
            (Tags::service(0x0abc, 0xf123), &[0x88, 0xa8, 0x0a, 0xbc, 0x81, 0x00, 0x01, 0x23]),
        ];
        for (tags, bytes) in cases {
            assert_eq!((&tags.bytes()[..], tags.len(), tags.is_empty()), (bytes, bytes.len(), bytes.is_empty()));
        }
    }
}
