//! From a connection ID to the backend that it names.

use super::codec::{self, Codec};
use super::header;
use crate::hash::Block;
use std::fmt;

/// Configurations that can be told apart by the three first bits of a connection ID; the eighth says "not routable".
const CONFIGS: usize = 7;
/// The longest server ID, in bytes.
const MAX_SERVER_ID: u8 = 15;
/// The shortest nonce, in bytes.
const MIN_NONCE: u8 = 4;
/// The most bytes that server ID and nonce have together.
const MAX_LEN: usize = 19;

/// How servers write their ID into connection IDs of one configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LbConfig {
    /// The first three bits of a connection ID, 0 to 6.
    pub config_id: u8,
    /// Bytes of a server ID, 1 to 15.
    pub server_id_len: u8,
    /// Bytes of the nonce, at least 4; at most 19 with the server ID.
    pub nonce_len: u8,
    /// The key that hides the server ID; `None`: it is open.
    pub key: Option<[u8; 16]>,
}

impl LbConfig {
    /// Bytes of a connection ID behind the first one.
    pub(super) const fn len(&self) -> usize {
        self.server_id_len as usize + self.nonce_len as usize
    }

    pub(super) const fn is_valid(&self) -> bool {
        (self.config_id as usize) < CONFIGS
            && self.server_id_len >= 1
            && self.server_id_len <= MAX_SERVER_ID
            && self.nonce_len >= MIN_NONCE
            && self.len() <= MAX_LEN
    }
}

/// Never shows the key.
impl fmt::Debug for LbConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config_id, server_id_len, nonce_len, key } = self;
        f.debug_struct("LbConfig")
            .field("config_id", config_id)
            .field("server_id_len", server_id_len)
            .field("nonce_len", nonce_len)
            .field("encrypted", &key.is_some())
            .finish()
    }
}

/// Which backend of a pool each server ID names. Immutable.
pub struct ServerIds {
    /// By configuration ID.
    codecs: [Option<Codec>; CONFIGS],
    /// Server IDs as [`codec::name`] has them, sorted.
    names: Box<[Block]>,
    /// The pool-local index of each one's backend.
    backends: Box<[u16]>,
}

/// Says which configurations and how many servers, and never a key.
impl fmt::Debug for ServerIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let configs: Vec<_> =
            (0..CONFIGS).zip(&self.codecs).filter_map(|(id, codec)| codec.as_ref().map(|_| id)).collect();
        f.debug_struct("ServerIds").field("configs", &configs).field("servers", &self.names.len()).finish()
    }
}

impl ServerIds {
    /// What connection IDs of these configurations say, where these are the servers' IDs and their backends' pool-local
    /// indices. A configuration or an ID that the draft does not allow names nobody; of two the same the first counts.
    #[must_use]
    pub fn new(configs: &[LbConfig], servers: &[(&[u8], u16)]) -> Self {
        let mut codecs = [const { None }; CONFIGS];
        for config in configs {
            if let Some(place @ None) = codecs.get_mut(usize::from(config.config_id)) {
                *place = Codec::new(config);
            }
        }
        let allowed = servers.iter().filter(|(id, _)| (1..=usize::from(MAX_SERVER_ID)).contains(&id.len()));
        let mut servers: Vec<_> =
            allowed.map(|(id, index)| (codec::name(codec::leading(id), id.len() as u8), *index)).collect();
        // Stable: of two the same the first stays first.
        servers.sort_by_key(|(name, _)| *name);
        servers.dedup_by_key(|(name, _)| *name);
        let (names, backends): (Vec<_>, Vec<_>) = servers.into_iter().unzip();
        Self { codecs, names: names.into(), backends: backends.into() }
    }

    /// The pool-local index of the backend that a connection ID names; what follows the connection ID may stand behind it.
    #[must_use]
    pub fn lookup(&self, connection_id: &[u8]) -> Option<u16> {
        let (first, rest) = connection_id.split_first()?;
        let codec = self.codecs.get(usize::from(first >> 5))?.as_ref()?;
        let place = self.names.binary_search(&codec.server(rest)?).ok()?;
        self.backends.get(place).copied()
    }

    /// [`ServerIds::lookup`] of the destination connection ID of the first packet in a UDP datagram, of which the beginning
    /// is enough.
    #[must_use]
    pub fn lookup_packet(&self, datagram: &[u8]) -> Option<u16> {
        self.lookup(header::parse(datagram)?.connection_id)
    }
}
