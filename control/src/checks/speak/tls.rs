//! A TLS handshake, and whom we trust in it.

use super::{Fault, Stream};
use crate::checks::Subject;
use crate::health::Reason;
use guideway_config::model::Tls;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// What is to be spoken inside (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Any,
    Http1,
    Http2,
}

/// What a handshake needs, by what is asked: reading certificates takes long, and many backends share them.
#[derive(Default)]
pub(in crate::checks) struct Trust {
    known: RefCell<Vec<(Tls, Protocol, Arc<ClientConfig>)>>,
}

impl Trust {
    /// Reads the files again when they are needed next.
    pub(in crate::checks) fn forget(&self) {
        self.known.borrow_mut().clear();
    }

    fn of(&self, tls: &Tls, protocol: Protocol) -> Result<Arc<ClientConfig>, Fault> {
        let mut known = self.known.borrow_mut();
        if let Some((.., config)) = known.iter().find(|(of, inside, _)| of == tls && *inside == protocol) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(config(tls, protocol)?);
        known.push((tls.clone(), protocol, Arc::clone(&config)));
        Ok(config)
    }
}

fn config(tls: &Tls, protocol: Protocol) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::ours(&error))?;
    let mut config = if tls.verify {
        builder.with_root_certificates(roots(tls.ca_file.as_deref())?).with_no_client_auth()
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth()
    };
    config.alpn_protocols = match protocol {
        Protocol::Any => Vec::new(),
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    // A whole handshake each time: it is the certificate that is looked at.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A file that cannot be used is our fault and judges nobody.
fn roots(file: Option<&Path>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            let ours = |error| Fault::ours(&format!("ca_file {}: {error}", file.display()));
            for certificate in CertificateDer::pem_file_iter(file).map_err(ours)? {
                roots.add(certificate.map_err(ours)?).map_err(|error| Fault::ours(&error))?;
            }
        }
        None => {
            // One that this library does not understand is none of those that count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        let file = file.map_or_else(|| "this system".to_owned(), |file| format!("ca_file {}", file.display()));
        return Err(Fault::ours(&format!("{file} has no certificate to trust")));
    }
    Ok(roots)
}

/// Makes a connection one of TLS.
pub(super) async fn shake_hands(
    stream: Stream,
    subject: &Subject,
    tls: &Tls,
    trust: &Trust,
    protocol: Protocol,
) -> Result<Stream, Fault> {
    let name = match &tls.sni {
        Some(name) => ServerName::try_from(name.clone()).map_err(|error| Fault::ours(&error))?,
        // An address is not asked for (RFC 6066, section 3).
        None => ServerName::from(subject.destination),
    };
    let connector = TlsConnector::from(trust.of(tls, protocol)?);
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
            Some(cause) => Fault::with(Reason::Tls, cause),
            None => error.into(),
        }),
    }
}

/// Takes every certificate: the handshake is what counts.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
