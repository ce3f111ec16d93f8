//! The draft read word for word: vectors of nibbles, another crate's AES, a search from the first to the last.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use guideway_dataplane::quic::LbConfig;

fn nibbles(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).collect()
}

fn joined(nibbles: &[u8]) -> Vec<u8> {
    nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The result of one pass over a half, in nibbles. `pad` is where a nibble is missing to whole bytes.
fn pass(key: [u8; 16], len: usize, number: u8, half: &[u8], pad: Option<usize>) -> Vec<u8> {
    let mut half = half.to_vec();
    if let Some(place) = pad {
        half.insert(place, 0);
    }
    let half = joined(&half);
    let mut block = [0; 16];
    block[..half.len()].copy_from_slice(&half);
    block[14] = len as u8;
    block[15] = number;
    let mut block = block.into();
    Aes128::new(&key.into()).encrypt_block(&mut block);
    let mut result = nibbles(&block[..half.len()]);
    if let Some(place) = pad {
        // Of the result the nibble beside the other half goes, which is the other end of this half.
        result.remove(result.len() - 1 - place);
    }
    result
}

/// Section 5.4.2, with the passes in the order given: 1 to 4 encrypt, 4 to 1 decrypt.
fn passes(key: [u8; 16], text: &[u8], numbers: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut left = nibbles(text);
    let mut right = left.split_off(text.len());
    let (after, before) = if text.len() % 2 == 1 { (Some(text.len()), Some(0)) } else { (None, None) };
    for number in numbers {
        let (from, to, pad) = if number % 2 == 1 { (&left, &mut right, after) } else { (&right, &mut left, before) };
        let result = pass(key, text.len(), number, from, pad);
        assert_eq!(result.len(), to.len());
        to.iter_mut().zip(result).for_each(|(nibble, other)| *nibble ^= other);
    }
    joined(&[left, right].concat())
}

/// Server ID and nonce, as they stand in a connection ID.
pub fn encrypt(key: Option<[u8; 16]>, text: &[u8]) -> Vec<u8> {
    match (key, <[u8; 16]>::try_from(text)) {
        (None, _) => text.to_vec(),
        (Some(key), Ok(block)) => {
            let mut block = block.into();
            Aes128::new(&key.into()).encrypt_block(&mut block);
            block.to_vec()
        }
        (Some(key), Err(_)) => passes(key, text, 1..=4),
    }
}

/// The inverse of [`encrypt`].
pub fn decrypt(key: Option<[u8; 16]>, text: &[u8]) -> Vec<u8> {
    match (key, <[u8; 16]>::try_from(text)) {
        (None, _) => text.to_vec(),
        (Some(key), Ok(block)) => {
            let mut block = block.into();
            Aes128::new(&key.into()).decrypt_block(&mut block);
            block.to_vec()
        }
        (Some(key), Err(_)) => passes(key, text, (1..=4).rev()),
    }
}

fn allowed(config: &LbConfig) -> bool {
    let (server_id, nonce) = (usize::from(config.server_id_len), usize::from(config.nonce_len));
    config.config_id <= 6 && (1..=15).contains(&server_id) && nonce >= 4 && server_id + nonce <= 19
}

/// The backend that a datagram names, of configurations that differ in their IDs.
pub fn lookup(configs: &[LbConfig], servers: &[(&[u8], u16)], datagram: &[u8]) -> Option<u16> {
    let connection_id = if *datagram.first()? < 0x80 {
        &datagram[1..]
    } else {
        let len = usize::from(*datagram.get(5)?);
        datagram.get(6..6 + len).filter(|_| len <= 20)?
    };
    let config_id = connection_id.first()? / 32;
    let config = configs.iter().find(|config| config.config_id == config_id && allowed(config))?;
    let server_id_len = usize::from(config.server_id_len);
    let text = connection_id.get(1..=server_id_len + usize::from(config.nonce_len))?;
    let plain = decrypt(config.key, text);
    servers.iter().find(|(id, _)| *id == &plain[..server_id_len]).map(|(_, index)| *index)
}
