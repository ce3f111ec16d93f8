//! The answer to a SYN: the SYN itself, turned round in its buffer.

use super::{Cookies, Options, WINDOW_SCALE, written};
use crate::parse::Parsed;
use crate::port::Packet;
use crate::segment::{Draft, Segment};
use crate::session::Tuple;
use crate::time::Nanos;
use crate::wire::tcp::{ACK, SYN};

/// Turns a SYN into the answer to it, ready to leave by the link that it came in on: with a cookie, a window of nothing, and
/// segments of `size` bytes at most. The client may send nothing before the backend is there.
///
/// Returns `false`, with the packet as it was, if it cannot be read or its buffer has no room.
pub(crate) fn answer<P: Packet>(packet: &mut P, parsed: &Parsed, size: u16, cookies: &mut Cookies, now: Nanos) -> bool {
    let mut of_syn = *parsed;
    let Some(segment) = Segment::new(packet, &mut of_syn) else { return false };
    let tuple = Tuple::of(parsed);
    let first = segment.header.sequence.get();
    let options = Options::of(&segment);
    let (cookie, clock) = cookies.make(&tuple, first, options, now);
    let echo = segment.timestamps().map(|(own, _)| (clock, u32::from_be_bytes(own)));
    let scale = options.scale().map(|_| WINDOW_SCALE);
    let draft = Draft {
        tuple: tuple.reversed(),
        sequence: cookie,
        acknowledgement: first.wrapping_add(1),
        flags: SYN | ACK,
        window: 0,
        options: &written(size, scale, options.sack(), echo),
    };
    draft.put_in_place(packet, parsed)
}
