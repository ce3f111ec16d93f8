//! A bounded queue of frames between two threads: a wait-free ring of bytes, in which each frame follows its length.
//!
//! Wait-free, since the side without priority may be stopped inside an operation, and the other must not wait for it.

use rtrb::{Consumer, Producer, RingBuffer};

/// Bytes of a frame's length.
const LENGTH: usize = size_of::<u16>();

/// The end that frames are put into.
pub(crate) struct FrameSender(Producer<u8>);

/// The end that frames come out of.
pub(crate) struct FrameReceiver(Consumer<u8>);

/// A queue of `capacity` bytes.
pub(crate) fn frames(capacity: usize) -> (FrameSender, FrameReceiver) {
    let (producer, consumer) = RingBuffer::new(capacity);
    (FrameSender(producer), FrameReceiver(consumer))
}

impl FrameSender {
    /// Appends a frame. Returns `false` if it does not fit now.
    #[must_use]
    pub(crate) fn push(&mut self, frame: &[u8]) -> bool {
        let Ok(length) = u16::try_from(frame.len()) else { return false };
        // The length may be seen before the frame is there: `pop` waits for all of it.
        self.0.slots() >= LENGTH + frame.len()
            && self.0.push_entire_slice(&length.to_ne_bytes()).is_ok()
            && self.0.push_entire_slice(frame).is_ok()
    }
}

impl FrameReceiver {
    /// Replaces the contents of `frame` by the next frame. Returns `false` if there is none.
    #[must_use]
    pub(crate) fn pop(&mut self, frame: &mut Vec<u8>) -> bool {
        let Some(length) = self.next_length() else { return false };
        if self.0.slots() < LENGTH + length {
            return false;
        }
        frame.resize(length, 0);
        self.0.pop_entire_slice(&mut [0; LENGTH]).is_ok() && self.0.pop_entire_slice(frame).is_ok()
    }

    fn next_length(&mut self) -> Option<usize> {
        let chunk = self.0.read_chunk(LENGTH).ok()?;
        let (first, second) = chunk.as_slices();
        let mut length = [0; LENGTH];
        // The two bytes may lie on both sides of the end.
        for (to, from) in length.iter_mut().zip(first.iter().chain(second)) {
            *to = *from;
        }
        Some(u16::from_ne_bytes(length).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_across_the_end_of_the_ring() {
        // 101: lengths and frames get to lie across the end at every offset.
        let (mut sender, mut receiver) = frames(101);
        let mut got = vec![1, 2, 3];
        for round in 0..500_usize {
            let frame: Vec<u8> = (0..round % 90).map(|byte| (byte + round) as u8).collect();
            assert!(sender.push(&frame));
            assert!(receiver.pop(&mut got));
            assert_eq!(got, frame);
            assert!(!receiver.pop(&mut got));
        }
    }

    #[test]
    fn a_full_ring_takes_none_and_keeps_what_it_has() {
        let (mut sender, mut receiver) = frames(100);
        assert!(sender.push(&[7; 60]));
        assert!(!sender.push(&[8; 37]), "one byte more than there is room");
        assert!(sender.push(&[9; 36]));
        let mut got = Vec::new();
        assert!(receiver.pop(&mut got) && got == [7; 60]);
        assert!(receiver.pop(&mut got) && got == [9; 36]);
        assert!(!sender.push(&[0; 99]), "longer than the ring");
        assert!(!sender.push(&vec![0; 70_000]));
    }

    #[test]
    fn threads_see_whole_frames_in_order() {
        let (mut sender, mut receiver) = frames(1_000);
        let count = 20_000_u32;
        let pushing = std::thread::spawn(move || {
            for number in 0..count {
                let frame = number.to_le_bytes().repeat(1 + number as usize % 40);
                while !sender.push(&frame) {
                    std::thread::yield_now();
                }
            }
        });
        let mut got = Vec::new();
        for number in 0..count {
            while !receiver.pop(&mut got) {
                std::thread::yield_now();
            }
            assert_eq!(got, number.to_le_bytes().repeat(1 + number as usize % 40));
        }
        pushing.join().expect("the sender");
    }
}
