//! What all versions of QUIC have in common (RFC 8999), and which packets begin a connection (RFC 9000, RFC 9369).

/// The longest connection ID of versions 1 and 2 (RFC 9000, section 17.2). A longer one is not of a server of ours.
pub const MAX_CONNECTION_ID: usize = 20;

/// QUIC version 1 (RFC 9000).
const VERSION_1: u32 = 1;
/// QUIC version 2 (RFC 9369).
const VERSION_2: u32 = 0x6b33_43cf;

/// The part of a QUIC packet that every version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'p> {
    first: u8,
    /// `None`: a short header.
    version: Option<u32>,
    /// The destination connection ID; of a short header, which does not say where it ends, all that follows the first byte.
    pub connection_id: &'p [u8],
}

/// Reads the first packet of a datagram, of which `datagram` may be only the beginning. `None` if that is too short, or if
/// the connection ID is longer than [`MAX_CONNECTION_ID`]. The fixed bit says nothing (RFC 9287).
#[inline]
#[must_use]
pub fn parse(datagram: &[u8]) -> Option<Header<'_>> {
    let (&first, rest) = datagram.split_first()?;
    if first & 0x80 == 0 {
        return Some(Header { first, version: None, connection_id: rest });
    }
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (&len, rest) = rest.split_first()?;
    let connection_id = rest.get(..usize::from(len)).filter(|id| id.len() <= MAX_CONNECTION_ID)?;
    Some(Header { first, version: Some(u32::from_be_bytes(*version)), connection_id })
}

impl Header<'_> {
    /// Whether it has a version.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        self.version.is_some()
    }

    /// Whether the packet may be the first one of its connection: an Initial, or any long header of a version that is not
    /// known here. 0-RTT and Handshake packets come after one.
    #[must_use]
    pub const fn is_start(&self) -> bool {
        let kind = self.first >> 4 & 0b11;
        match self.version {
            // Version 0 is the negotiation of one, which only servers send.
            None | Some(0) => false,
            Some(VERSION_1) => kind == 0b00,
            Some(VERSION_2) => kind == 0b01,
            Some(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(first: u8, version: u32, id: &[u8]) -> Vec<u8> {
        [&[first], &version.to_be_bytes()[..], &[id.len() as u8], id, &[0xee; 5]].concat()
    }

    #[test]
    fn a_long_header_says_how_long_its_connection_id_is() {
        for len in 0..=MAX_CONNECTION_ID {
            let id = vec![0xab; len];
            assert_eq!(parse(&long(0xc0, 1, &id)).unwrap().connection_id, id);
        }
        assert_eq!(parse(&long(0xc0, 1, &[0; 21])), None);
        let packet = long(0xc0, 1, &[1, 2, 3]);
        for cut in 0..9 {
            assert_eq!(parse(&packet[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn of_a_short_header_everything_may_be_connection_id() {
        assert_eq!(parse(&[0x40, 1, 2, 3]).unwrap().connection_id, [1, 2, 3]);
        assert_eq!(parse(&[0x00]).unwrap().connection_id, []);
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn initials_and_unknown_versions_start_a_connection() {
        let starts = |first, version| parse(&long(first, version, &[1])).unwrap().is_start();
        // By type, fixed bit set and greased: Initial, 0-RTT, Handshake, Retry.
        for fixed in [0x40, 0] {
            let of = |version| [0x80, 0x90, 0xa0, 0xb0].map(|first| starts(first | fixed, version));
            assert_eq!(of(VERSION_1), [true, false, false, false]);
            assert_eq!(of(VERSION_2), [false, true, false, false]);
            assert_eq!(of(0xff00_001d), [true; 4]);
            assert_eq!(of(0), [false; 4]);
        }
        assert!(!parse(&[0x40; 20]).unwrap().is_start());
    }
}
