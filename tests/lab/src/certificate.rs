//! Certificates of servers on backends, as files in PEM.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// A certificate that signs itself, and its key, in files of their own.
#[derive(Clone, Debug)]
pub struct Certificate {
    file: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Makes a certificate for a name, in files of `folder` that begin with the name.
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()])
            .with_context(|| format!("cannot make a certificate for {name}"))?;
        let write = |kind: &str, text: String| {
            let path = folder.join(format!("{name}.{kind}.pem"));
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok::<_, anyhow::Error>(path)
        };
        Ok(Self { file: write("certificate", made.cert.pem())?, key: write("key", made.signing_key.serialize_pem())? })
    }

    /// The certificate: what a server shows, and what a client has to trust.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The key of the server.
    pub fn key(&self) -> &Path {
        &self.key
    }
}
