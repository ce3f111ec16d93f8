//! Connection IDs as servers make them: for tests, and for servers in Rust. Never for traffic.

use super::codec::Codec;
use super::lb::LbConfig;

/// Why there is no such connection ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The draft does not allow the configuration.
    Config,
    /// The server ID has another length than the configuration says.
    ServerId,
    /// The nonce has another length than the configuration says.
    Nonce,
}

/// The connection ID that names a server. Its first byte says, behind the configuration's bits, how many bytes follow
/// (draft-ietf-quic-load-balancers-21, section 3.3).
///
/// A nonce must not come twice under one key, and without a key it must look random (section 5.3).
///
/// # Errors
///
/// [`EncodeError`], if the parts do not fit together.
pub fn encode(config: &LbConfig, server_id: &[u8], nonce: &[u8]) -> Result<Vec<u8>, EncodeError> {
    encode_with_bits(config, config.len() as u8, server_id, nonce)
}

/// [`encode`], where the first byte does not say the length. Behind the configuration's bits it has the low five of `bits`,
/// which should be random.
///
/// # Errors
///
/// [`EncodeError`], if the parts do not fit together.
pub fn encode_with_bits(config: &LbConfig, bits: u8, server_id: &[u8], nonce: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let codec = Codec::new(config).ok_or(EncodeError::Config)?;
    if server_id.len() != usize::from(config.server_id_len) {
        return Err(EncodeError::ServerId);
    }
    if nonce.len() != usize::from(config.nonce_len) {
        return Err(EncodeError::Nonce);
    }
    let mut text = [server_id, nonce].concat();
    codec.encrypt(&mut text);
    text.insert(0, config.config_id << 5 | bits & 0x1f);
    Ok(text)
}
