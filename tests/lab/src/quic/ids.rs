//! Connection IDs that name their server.

use anyhow::{Context, Result, bail, ensure};
use guideway_dataplane::quic::{LbConfig, encode};
use quinn::{ConnectionId, ConnectionIdGenerator};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How a server makes connection IDs. As text: `config_id:server_id:nonce_len:key`, where server ID and key are
/// hexadecimal, and the key may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbIds {
    config: LbConfig,
    server_id: Vec<u8>,
}

impl LbIds {
    /// # Errors
    ///
    /// When configuration and server ID do not fit together.
    pub fn new(config: LbConfig, server_id: &[u8]) -> Result<Self> {
        let ids = Self { config, server_id: server_id.to_owned() };
        ids.make()?;
        Ok(ids)
    }

    /// Length in bytes of every connection ID.
    fn len(&self) -> usize {
        1 + usize::from(self.config.server_id_len + self.config.nonce_len)
    }

    /// A new one, with a random nonce.
    fn make(&self) -> Result<Vec<u8>> {
        let mut nonce = vec![0; self.config.nonce_len.into()];
        getrandom::fill(&mut nonce).context("no random numbers")?;
        match encode(&self.config, &self.server_id, &nonce) {
            Ok(id) => Ok(id),
            Err(error) => bail!("there is no such connection ID: {error:?}"),
        }
    }
}

impl fmt::Display for LbIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.config.key.map(|key| hex(&key)).unwrap_or_default();
        write!(f, "{}:{}:{}:{key}", self.config.config_id, hex(&self.server_id), self.config.nonce_len)
    }
}

impl FromStr for LbIds {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.split(':').collect();
        let [config_id, server_id, nonce_len, key] = parts[..] else { bail!("not four parts: {text}") };
        let server_id = unhex(server_id)?;
        let key = match key {
            "" => None,
            key => Some(unhex(key)?.try_into().ok().context("a key has 16 bytes")?),
        };
        let config = LbConfig {
            config_id: config_id.parse().context("the first part is no number")?,
            server_id_len: u8::try_from(server_id.len())?,
            nonce_len: nonce_len.parse().context("the third part is no number")?,
            key,
        };
        Self::new(config, &server_id)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    ensure!(text.is_ascii() && text.len().is_multiple_of(2), "not pairs of hexadecimal digits: {text}");
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    pairs.collect::<Result<_, _>>().with_context(|| format!("not hexadecimal: {text}"))
}

/// Connection IDs of several configurations in turn, as while a key is changed. All have the same length, since a short
/// header does not say it.
pub(super) struct Generator {
    ids: Vec<LbIds>,
    next: usize,
    len: usize,
}

impl Generator {
    /// # Errors
    ///
    /// Without any configuration, or when their connection IDs are not equally long.
    pub(super) fn new(ids: &[LbIds]) -> Result<Self> {
        let len = ids.first().context("no connection IDs")?.len();
        ensure!(ids.iter().all(|ids| ids.len() == len), "connection IDs of different length: {ids:?}");
        Ok(Self { ids: ids.to_owned(), next: 0, len })
    }
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        let ids = &self.ids[self.next];
        self.next = (self.next + 1) % self.ids.len();
        ConnectionId::new(&ids.make().expect("one was made before"))
    }

    fn cid_len(&self) -> usize {
        self.len
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 2] = ["0:0a01:6:", "3:0a0b0c01:12:8f95f09245765f80256934e50c66207f"];

    #[test]
    fn ids_are_what_their_text_says() {
        for text in TEXTS {
            assert_eq!(text.parse::<LbIds>().expect(text).to_string(), text);
        }
        for text in ["", "0:0a01:6", "7:0a01:6:", "0:0a0:6:", "0:0a01:3:", "0:0a01:6:8f95"] {
            assert!(text.parse::<LbIds>().is_err(), "{text}");
        }
    }

    #[test]
    fn configurations_take_turns() {
        let ids: Vec<LbIds> = ["0:0a01:6:", "1:0a01:6:"].map(|text| text.parse().expect(text)).into();
        let mut generator = Generator::new(&ids).expect("equally long");
        let first = (0..4).map(|_| generator.generate_cid()[0]);
        assert_eq!(first.collect::<Vec<_>>(), [8, 0x28, 8, 0x28]);
        assert_eq!(generator.generate_cid().len(), generator.cid_len());
        assert!(Generator::new(&TEXTS.map(|text| text.parse().expect(text))).is_err());
        assert!(Generator::new(&[]).is_err());
    }
}
