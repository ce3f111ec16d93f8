//! What a SYN offers, in as few bits as an answer can carry.
//!
//! The size of segments is one of eight, in the cookie itself. The shift of the windows and whether the client takes selective
//! acknowledgements lie in the lowest bits of the answer's timestamp, which comes back; a client without timestamps has neither.

use crate::port::Packet;
use crate::segment::Segment;

/// Segment sizes that a cookie can say: of IPv4 and IPv6 over Ethernet, over tunnels of usual kinds, what every link carries
/// (RFC 9293, section 3.7.1), and of jumbo frames.
const SIZES: [u16; 8] = [64, 536, 1_220, 1_340, 1_400, 1_440, 1_460, 8_940];
/// What is assumed of a SYN that says nothing (RFC 9293, section 3.7.1).
const DEFAULT_SIZE: u16 = 536;

const SCALE: u32 = 0xf;
const NO_SCALE: u32 = 0xf;
const SACK: u32 = 0x10;
/// The bits of a timestamp that say it.
pub(super) const BITS: u32 = SCALE | SACK;

/// What both sides may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which of eight segment sizes the client takes at most.
    pub(super) size: u8,
    /// The shift of the client's windows, and whether it takes selective acknowledgements; `None`: no timestamps, none of these.
    pub(super) more: Option<More>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct More {
    pub(super) scale: Option<u8>,
    pub(super) sack: bool,
}

impl Options {
    /// Of a SYN. What does not fit into a cookie is left out, or a little less.
    pub(crate) fn of<P: Packet>(segment: &Segment<'_, P>) -> Self {
        let wanted = segment.max_segment_size().unwrap_or(DEFAULT_SIZE);
        let size = SIZES.iter().rposition(|size| *size <= wanted).unwrap_or(0) as u8;
        let more = segment
            .timestamps()
            .map(|_| More { scale: segment.window_scale(), sack: segment.may_acknowledge_selectively() });
        Self { size, more }
    }

    /// Again, of what came back in a timestamp.
    pub(super) fn again(size: u8, echoed: Option<u32>) -> Self {
        let more = echoed.map(|echoed| More {
            scale: (echoed & SCALE != NO_SCALE).then_some((echoed & SCALE) as u8),
            sack: echoed & SACK != 0,
        });
        Self { size: size & 7, more }
    }

    /// The lowest bits of the answer's timestamp.
    pub(super) fn bits(self) -> u32 {
        let Some(More { scale, sack }) = self.more else { return NO_SCALE };
        scale.map_or(NO_SCALE, u32::from) & SCALE | if sack { SACK } else { 0 }
    }

    /// The client's segment size, in bytes.
    #[must_use]
    pub fn size(self) -> u16 {
        SIZES.get(usize::from(self.size)).copied().unwrap_or(DEFAULT_SIZE)
    }

    /// The shift of the client's windows.
    #[must_use]
    pub fn scale(self) -> Option<u8> {
        self.more.and_then(|more| more.scale)
    }

    /// Whether the client takes selective acknowledgements.
    #[must_use]
    pub fn sack(self) -> bool {
        self.more.is_some_and(|more| more.sack)
    }
}

/// Options of a SYN, as they stand in its header, in whole words.
pub(crate) fn written(size: u16, scale: Option<u8>, sack: bool, timestamps: Option<(u32, u32)>) -> Written {
    let mut bytes = Written::new();
    let mut put = |more: &[u8]| {
        // 24 bytes at most.
        let _ = bytes.try_extend_from_slice(more);
    };
    let [high, low] = size.to_be_bytes();
    put(&[2, 4, high, low]);
    if let Some((own, echo)) = timestamps {
        put(if sack { &[4, 2, 8, 10] } else { &[1, 1, 8, 10] });
        put(&own.to_be_bytes());
        put(&echo.to_be_bytes());
    } else if sack {
        put(&[1, 1, 4, 2]);
    }
    if let Some(scale) = scale {
        put(&[1, 3, 3, scale]);
    }
    bytes
}

/// Bytes of options.
pub(crate) type Written = arrayvec::ArrayVec<u8, 40>;

/// The options of a segment behind a handshake: timestamps, or nothing.
pub(crate) fn timestamps(of: Option<(u32, u32)>) -> Written {
    let mut bytes = Written::new();
    if let Some((own, echo)) = of {
        for part in [[1, 1, 8, 10], own.to_be_bytes(), echo.to_be_bytes()] {
            let _ = bytes.try_extend_from_slice(&part);
        }
    }
    bytes
}
