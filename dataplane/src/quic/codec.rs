//! What stands behind the first byte of a connection ID: server ID and nonce, in the clear or encrypted.

use super::halves::{Halves, low_bytes};
use super::lb::LbConfig;
use crate::hash::{Block, Cipher};

/// A text of one block is encrypted at once (draft-ietf-quic-load-balancers-21, section 5.4.1).
const ONE_BLOCK: usize = 16;

/// One configuration, made ready.
pub(super) struct Codec {
    /// Bytes of a text.
    len: usize,
    server_id_len: u8,
    halves: Halves,
    cipher: Option<Cipher>,
}

impl Codec {
    /// `None` if the draft does not allow the configuration.
    pub(super) fn new(config: &LbConfig) -> Option<Self> {
        let LbConfig { server_id_len, nonce_len, key, .. } = *config;
        config.is_valid().then(|| Self {
            len: usize::from(server_id_len + nonce_len),
            server_id_len,
            halves: Halves::new(server_id_len + nonce_len, server_id_len),
            cipher: key.map(Cipher::new),
        })
    }

    /// Encrypts a text in place, if there is a key.
    pub(super) fn encrypt(&self, text: &mut [u8]) {
        let Some(cipher) = &self.cipher else { return };
        match <&mut [u8; ONE_BLOCK]>::try_from(&mut *text) {
            Ok(block) => *block = cipher.encrypt_one(Block::from_le_bytes(*block)).to_le_bytes(),
            Err(_) => self.halves.encrypt(cipher, text),
        }
    }

    /// The [`name`] of the server in the text at the beginning of `bytes`. `None` if that is too short.
    #[inline]
    pub(super) fn server(&self, bytes: &[u8]) -> Option<Block> {
        if bytes.len() < self.len {
            return None;
        }
        let plain = match &self.cipher {
            None => leading(bytes),
            Some(cipher) if self.len == ONE_BLOCK => cipher.decrypt_one(leading(bytes)),
            Some(cipher) => self.halves.decrypt(cipher, bytes),
        };
        Some(name(plain, self.server_id_len))
    }
}

/// A server ID of `len` bytes, at most 15, at the beginning of a block: zeros behind it, its length in the last byte.
pub(super) const fn name(block: Block, len: u8) -> Block {
    block & low_bytes(len) | (len as Block) << 120
}

/// The first 16 bytes, or all and zeros behind them.
#[inline]
pub(super) fn leading(bytes: &[u8]) -> Block {
    if let Some(block) = bytes.first_chunk() {
        return Block::from_le_bytes(*block);
    }
    let mut block = [0; ONE_BLOCK];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    Block::from_le_bytes(block)
}
