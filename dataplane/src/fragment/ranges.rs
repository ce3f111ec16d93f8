//! Which bytes of a datagram have come.

use arrayvec::ArrayVec;

/// Stretches without a gap that are followed. Fragments in order make one, in reverse order one too.
pub(super) const MOST_RANGES: usize = 16;

/// Bytes that have come, as sorted stretches from a first byte to the one behind the last, with gaps between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(ArrayVec<(u16, u16), MOST_RANGES>);

/// Why bytes were not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// All of them were there.
    Known,
    /// Some of them were there.
    Overlap,
    /// There would be too many stretches.
    TooMany,
}

impl Ranges {
    /// Adds the bytes from `start` to before `end`.
    pub(super) fn add(&mut self, start: u16, end: u16) -> Result<(), Conflict> {
        // Stretches that end before these bytes begin.
        let place = self.0.partition_point(|range| range.1 <= start);
        if let Some(next) = self.0.get(place)
            && next.0 < end
        {
            let inside = next.0 <= start && end <= next.1;
            return Err(if inside { Conflict::Known } else { Conflict::Overlap });
        }
        let joins_next = self.0.get(place).is_some_and(|next| next.0 == end);
        let end = if joins_next { self.0.remove(place).1 } else { end };
        let before = place.checked_sub(1).and_then(|before| self.0.get_mut(before)).filter(|range| range.1 == start);
        match before {
            Some(before) => before.1 = end,
            None => self.0.try_insert(place, (start, end)).map_err(|_| Conflict::TooMany)?,
        }
        Ok(())
    }

    /// Whether these are all bytes up to before `end`.
    pub(super) fn is_whole(&self, end: u16) -> bool {
        self.0.as_slice() == [(0, end)]
    }

    /// The byte behind the last one that came; 0 if none did.
    pub(super) fn end(&self) -> u16 {
        self.0.last().map_or(0, |range| range.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_list_of_bytes(adds in proptest::collection::vec((0_u16..60, 1_u16..9), 0..60)) {
            let mut ranges = Ranges::default();
            let mut bytes = [false; 80];
            for (start, len) in adds {
                let end = start + len;
                let wanted = &bytes[usize::from(start)..usize::from(end)];
                let stretches = |bytes: &[bool; 80]| bytes.windows(2).filter(|pair| !pair[0] && pair[1]).count() + usize::from(bytes[0]);
                let mut with = bytes;
                with[usize::from(start)..usize::from(end)].fill(true);
                let expected = if wanted.iter().all(|there| *there) {
                    Err(Conflict::Known)
                } else if wanted.iter().any(|there| *there) {
                    Err(Conflict::Overlap)
                } else if stretches(&with) > MOST_RANGES {
                    Err(Conflict::TooMany)
                } else {
                    bytes = with;
                    Ok(())
                };
                prop_assert_eq!(ranges.add(start, end), expected);
                let last = bytes.iter().rposition(|there| *there).map_or(0, |last| last + 1);
                prop_assert_eq!(usize::from(ranges.end()), last);
                let whole = last > 0 && bytes[..last].iter().all(|there| *there);
                prop_assert_eq!(ranges.is_whole(last as u16), whole);
            }
        }
    }
}
