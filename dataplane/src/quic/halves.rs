//! The four passes that encrypt a connection ID of any length but one block (draft-ietf-quic-load-balancers-21, section
//! 5.4.2): a Feistel network over the two halves of a text, whose round function is AES.
//!
//! A half is a block with zeros behind. Of an odd number of bytes the middle one is in both: its high bits are the left
//! half's, its low bits the right half's.

use super::codec::leading;
use crate::hash::{Block, Cipher};

/// How the halves lie in a text of one length, and how much of it is wanted back.
#[derive(Clone, Copy)]
pub(super) struct Halves {
    left: Block,
    right: Block,
    /// The length of the text, where the round function wants it: in byte 14.
    len: Block,
    /// Where the right half begins.
    start: usize,
    /// Whether what is wanted reaches into the right half.
    both: bool,
}

impl Halves {
    /// For texts of `len` bytes, 5 to 19, of which the first `wanted` (at most 15) are the server ID.
    pub(super) const fn new(len: u8, wanted: u8) -> Self {
        let start = len / 2;
        let (left, right) = if len.is_multiple_of(2) {
            (low_bytes(start), low_bytes(start))
        } else {
            (low_bytes(start) | 0xf0 << (8 * start), low_bytes(start + 1) & !0xf0)
        };
        Self { left, right, len: (len as Block) << 112, start: start as usize, both: wanted > start }
    }

    /// Encrypts `text`, which has the length that this is for, in place.
    pub(super) fn encrypt(&self, cipher: &Cipher, text: &mut [u8]) {
        let (mut left, mut right) = self.split(text);
        for pass in [1, 3] {
            right ^= self.round(cipher, pass, left) & self.right;
            left ^= self.round(cipher, pass + 1, right) & self.left;
        }
        text.fill(0);
        for (byte, of_left) in text.iter_mut().zip(left.to_le_bytes()) {
            *byte = of_left;
        }
        for (byte, of_right) in text.iter_mut().skip(self.start).zip(right.to_le_bytes()) {
            *byte |= of_right;
        }
    }

    /// The first bytes of what is encrypted at the beginning of `text`, so many as are wanted; those behind them may be
    /// anything.
    pub(super) fn decrypt(&self, cipher: &Cipher, text: &[u8]) -> Block {
        let (mut left, mut right) = self.split(text);
        left ^= self.round(cipher, 4, right) & self.left;
        right ^= self.round(cipher, 3, left) & self.right;
        left ^= self.round(cipher, 2, right) & self.left;
        if !self.both {
            return left;
        }
        right ^= self.round(cipher, 1, left) & self.right;
        left | right << (8 * self.start)
    }

    fn split(&self, text: &[u8]) -> (Block, Block) {
        let right = text.get(self.start..).unwrap_or_default();
        (leading(text) & self.left, leading(right) & self.right)
    }

    /// What a pass adds to the other half.
    fn round(&self, cipher: &Cipher, pass: u8, half: Block) -> Block {
        cipher.encrypt_one(half | self.len | Block::from(pass) << 120)
    }
}

/// All ones in the first `count` bytes, at most 15.
pub(super) const fn low_bytes(count: u8) -> Block {
    !(Block::MAX << (8 * count))
}
