//! The certificate of a lab's servers, made for the lab.

use anyhow::{Context, Result};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::{Path, PathBuf};

/// The name that all servers share, as servers behind one VIP do.
pub(super) const SERVER_NAME: &str = "quic.lab";
/// The certificate's file.
const CERTIFICATE: &str = "quic-certificate.der";
/// The file of its key.
const KEY: &str = "quic-key.der";

/// A certificate and its key in files; who knows the folder can use them.
#[derive(Clone, Debug)]
pub struct Certificate {
    folder: PathBuf,
}

impl Certificate {
    /// Makes a certificate that signs itself.
    pub fn create(folder: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()]).context("cannot make a certificate")?;
        let write = |file: &str, content: &[u8]| {
            let path = folder.join(file);
            std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
        };
        write(CERTIFICATE, made.cert.der())?;
        write(KEY, &made.signing_key.serialize_der())?;
        Ok(Self::in_folder(folder))
    }

    /// One that was made before.
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Where its files lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// For a server.
    pub(super) fn identity(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        Ok((vec![self.read(CERTIFICATE)?.into()], PrivatePkcs8KeyDer::from(self.read(KEY)?).into()))
    }

    /// For a client that trusts nobody else.
    pub(super) fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.read(CERTIFICATE)?.into()).context("an unusable certificate")?;
        Ok(roots)
    }

    fn read(&self, file: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(file);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}
