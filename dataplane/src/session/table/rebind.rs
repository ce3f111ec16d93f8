//! A session whose backend changes before it has answered.

use super::{Full, Sessions, hashes};
use crate::session::record::{SessionId, Side, Tuple, TupleHash};

impl Sessions {
    /// Gives a session another way to its backend: packets with the reverse of `inside` are found from now on, and those of the old
    /// one no longer. Returns the hash of the tuple of the old backend's packets.
    ///
    /// # Errors
    ///
    /// Why it keeps the old one.
    pub fn rebind(&mut self, id: SessionId, inside: &Tuple) -> Result<TupleHash, Full> {
        let record = self.record(id).ok_or(Full::Table)?;
        let (outside, old) = (record.tuple(Side::Client, &self.sources), record.tuple(Side::Backend, &self.sources));
        let source = self.source_of(&outside, inside).ok_or(Full::Taken)?;
        let answer = inside.reversed();
        let [old_hash, hash] = [old, answer].map(|tuple| tuple.hash(&self.hasher));
        if self.find_hashed(&answer, hash).is_some() {
            return Err(Full::Taken);
        }
        self.forget_ahead(id);
        let (old_key, key) = (self.key(old_hash), self.key(hash));
        self.index.remove(old_key, id.0, Side::Backend);
        let hash_of = hashes(&self.records, &self.sources, &self.hasher);
        if !self.index.insert(key, id.0, Side::Backend, hash_of) {
            // Its own place became free a moment ago.
            let _ = self.index.insert(old_key, id.0, Side::Backend, hash_of);
            return Err(Full::Table);
        }
        if let Some(record) = self.records.get_mut(id.0 as usize) {
            record.source = source;
            record.backend = inside.destination.address;
            (record.ports[2], record.ports[3]) = (inside.source.port, inside.destination.port);
        }
        Ok(old_hash)
    }
}
