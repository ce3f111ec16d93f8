//! A client that measures each of its connections: TCP, TLS 1.3 without resumption, one request by HTTP/1.1.

use super::SERVER_NAME;
use crate::certificate::Certificate;
use anyhow::{Context, Result, bail, ensure};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the kernel or a server may take for one step.
const LIMIT: Duration = Duration::from_secs(10);
/// More than the longest answer with its head.
const MOST_BYTES: usize = 64 << 10;

/// A client that trusts the site's certificates and remembers nothing of the servers that it met.
#[derive(Clone, Debug)]
pub struct Visitor {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// One connection. Times are since just before the call that connects.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The connection stands: the server's SYN-ACK came.
    pub connected: Duration,
    /// The client's side of the TLS handshake is done: the server's Finished came, the client's was sent.
    pub secured: Duration,
    /// The first byte of the answer is decrypted.
    pub first_byte: Duration,
    /// The address and port that the client had.
    pub local: SocketAddr,
    /// The server's certificate, in DER.
    pub certificate: Vec<u8>,
    /// The answer's body.
    pub body: Vec<u8>,
}

impl Visitor {
    /// Trusts these certificates and no other.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be read.
    pub fn new(trusted: &[&Certificate]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in trusted {
            roots.add(der(certificate)?).context("an unusable certificate")?;
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name: ServerName::try_from(SERVER_NAME)? })
    }

    /// Opens a connection, asks for `path`, and reads the whole answer. The calling thread's namespace is where it comes from.
    ///
    /// # Errors
    ///
    /// Whatever keeps the answer from being 200, and a handshake of more than one round trip.
    pub fn visit(&self, target: SocketAddr, path: &str) -> Result<Visit> {
        // The key share is made here, before the clock runs.
        let mut tls = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n");
        let start = Instant::now();
        let mut stream = TcpStream::connect_timeout(&target, LIMIT).context("no connection")?;
        let connected = start.elapsed();
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).context("no TLS")?;
        }
        let secured = start.elapsed();
        tls.writer().write_all(request.as_bytes())?;
        send(&mut tls, &mut stream).context("the request cannot be sent")?;
        let (head_and_body, first_byte) = receive(&mut tls, &mut stream, start).context("no answer")?;
        let kind = tls.handshake_kind();
        ensure!(kind == Some(HandshakeKind::Full), "a handshake of another kind: {kind:?}");
        let local = stream.local_addr()?;
        tls.send_close_notify();
        // The answer is complete: a server that is gone by now is no failure.
        let _ = send(&mut tls, &mut stream);
        let certificate = tls.peer_certificates().and_then(<[_]>::first).context("no certificate")?.to_vec();
        Ok(Visit { connected, secured, first_byte, local, certificate, body: body(&head_and_body)?.to_vec() })
    }
}

impl Visit {
    /// Whether the server showed this certificate.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be read.
    pub fn was_shown(&self, certificate: &Certificate) -> Result<bool> {
        Ok(self.certificate == *der(certificate)?)
    }
}

fn der(certificate: &Certificate) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(certificate.file())
        .with_context(|| format!("cannot read {}", certificate.file().display()))
}

fn send(tls: &mut ClientConnection, stream: &mut TcpStream) -> Result<()> {
    while tls.wants_write() {
        tls.write_tls(stream)?;
    }
    Ok(())
}

/// The whole answer, and when its first byte was there.
fn receive(tls: &mut ClientConnection, stream: &mut TcpStream, start: Instant) -> Result<(Vec<u8>, Duration)> {
    let (mut answer, mut first) = (Vec::new(), None);
    loop {
        ensure!(tls.read_tls(stream)? > 0, "the server ended the connection after {} bytes", answer.len());
        // Session tickets come by here too, and are no bytes of the answer.
        let length = tls.process_new_packets()?.plaintext_bytes_to_read();
        if length == 0 {
            continue;
        }
        let at = *first.get_or_insert_with(|| start.elapsed());
        let had = answer.len();
        answer.resize(had + length, 0);
        tls.reader().read_exact(&mut answer[had..])?;
        ensure!(answer.len() <= MOST_BYTES, "an answer of more than {MOST_BYTES} bytes");
        if is_complete(&answer)? {
            return Ok((answer, at));
        }
    }
}

/// Head and body of an answer, once the head is whole.
fn parts(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

fn is_complete(answer: &[u8]) -> Result<bool> {
    let Some((head, body)) = parts(answer) else { return Ok(false) };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(body.len() >= length.with_context(|| format!("an answer without a length: {head}"))?)
}

fn body(answer: &[u8]) -> Result<&[u8]> {
    match parts(answer) {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body),
        _ => bail!("not what was asked for: {}", String::from_utf8_lossy(&answer[..answer.len().min(200)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte() -> Result<()> {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        for end in 0..answer.len() {
            assert!(!is_complete(&answer[..end])?, "{end}");
        }
        assert!(is_complete(answer)?);
        assert_eq!(body(answer)?, b"abc");
        assert!(is_complete(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n").is_err());
        let error = body(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").expect_err("not 200").to_string();
        assert!(error.contains("502 Bad Gateway"), "{error}");
        Ok(())
    }
}
