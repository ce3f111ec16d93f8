//! What is said to a backend, and which answers are good. Connections and datagrams come from a `Way`.

mod agent;
mod dns;
mod grpc;
mod http;
mod tls;
mod udp;

pub use agent::Line;
pub(super) use tls::Trust;

use super::kernel::{self, Sockets};
use super::stack::{self, Stack};
use super::subject::{Question, Subject};
use crate::health::Reason;
use guideway_config::model::CheckKind;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};

/// The parsers of answers, which take any bytes: for fuzzing.
pub mod answers {
    pub use super::agent::Line;
    pub use super::dns::judge as dns;
    pub use super::grpc::serving as grpc;
}

/// A connection.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// A connection of any kind.
pub(super) type Stream = Box<dyn Duplex>;

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What a backend is to blame for; `None`: nothing, it is this process, or its machine.
    pub reason: Option<Reason>,
    /// More about it, for people.
    pub detail: Option<String>,
}

impl Fault {
    pub(super) const fn of(reason: Reason) -> Self {
        Self { reason: Some(reason), detail: None }
    }

    pub(super) fn with(reason: Reason, detail: &dyn std::fmt::Display) -> Self {
        Self { reason: Some(reason), detail: Some(detail.to_string()) }
    }

    /// One that judges nobody.
    pub(super) fn ours(detail: &dyn std::fmt::Display) -> Self {
        Self { reason: None, detail: Some(detail.to_string()) }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::ConnectionRefused => Reason::Refused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Reason::Unreachable,
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => Reason::Closed,
            ErrorKind::TimedOut => Reason::Timeout,
            ErrorKind::InvalidData => return Self::with(Reason::Garbled, &error),
            // No descriptor, no port, no right: nothing was asked.
            _ => return Self::ours(&error),
        };
        Self::of(reason)
    }
}

/// A good answer.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// More about it, for people.
    pub(super) detail: Option<String>,
    /// What an agent wants.
    pub(super) advice: Option<Line>,
}

/// Where connections and datagrams come from.
pub(super) enum Way<'w> {
    /// Ordinary sockets.
    Kernel(Sockets<'w>),
    /// The stack, whose packets take the way of traffic.
    Stack(&'w Stack, &'w Subject),
}

/// Datagrams to a backend, and those that it sends back.
pub(super) enum Datagrams {
    Kernel(tokio::net::UdpSocket),
    Stack(stack::Datagrams),
}

impl Way<'_> {
    async fn connect(&self) -> Result<Stream, Fault> {
        Ok(match self {
            Self::Kernel(sockets) => Box::new(sockets.connect().await?),
            Self::Stack(stack, subject) => Box::new(stack.connect(subject).await?),
        })
    }

    async fn datagrams(&self) -> Result<Datagrams, Fault> {
        Ok(match self {
            Self::Kernel(sockets) => Datagrams::Kernel(sockets.datagrams().await?),
            Self::Stack(stack, subject) => Datagrams::Stack(stack.datagrams(subject)?),
        })
    }

    async fn ping(&self) -> Result<(), Fault> {
        match self {
            Self::Kernel(sockets) => kernel::ping(sockets).await,
            Self::Stack(stack, subject) => stack.ping(subject).await,
        }
    }
}

impl Datagrams {
    async fn send(&mut self, payload: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Kernel(socket) => drop(socket.send(payload).await?),
            Self::Stack(datagrams) => datagrams.send(payload)?,
        }
        Ok(())
    }

    /// The next one, from where datagrams are sent to.
    async fn receive(&mut self) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Kernel(socket) => {
                let mut buffer = vec![0; kernel::LONGEST_DATAGRAM];
                let len = socket.recv(&mut buffer).await?;
                buffer.truncate(len);
                Ok(buffer)
            }
            Self::Stack(datagrams) => datagrams.receive().await,
        }
    }
}

/// Asks what the subject is to be asked.
pub(super) async fn speak(way: &Way<'_>, subject: &Subject, trust: &Trust) -> Result<Said, Fault> {
    let kind = match &*subject.asked.question {
        Question::Agent => return agent::ask(way).await,
        Question::Check(kind) => kind,
    };
    match kind {
        CheckKind::Tcp => way.connect().await.map(drop)?,
        CheckKind::Http(http) => return http::ask(way.connect().await?, subject, http, false).await,
        CheckKind::Https(http, tls) => {
            let stream = tls::shake_hands(way.connect().await?, subject, tls, trust, tls::Protocol::Http1).await?;
            return http::ask(stream, subject, http, true).await;
        }
        CheckKind::Tls(tls) => {
            tls::shake_hands(way.connect().await?, subject, tls, trust, tls::Protocol::Any).await.map(drop)?;
        }
        CheckKind::Udp(udp) => udp::ask(way.datagrams().await?, udp).await?,
        CheckKind::Dns(dns) => dns::ask(way.datagrams().await?, dns).await?,
        CheckKind::Icmp => way.ping().await?,
        CheckKind::Grpc(grpc) => {
            let stream = way.connect().await?;
            let stream = match &grpc.tls {
                Some(tls) => tls::shake_hands(stream, subject, tls, trust, tls::Protocol::Http2).await?,
                None => stream,
            };
            grpc::ask(stream, subject, grpc).await?;
        }
    }
    Ok(Said::default())
}

/// The destination of a probe as it stands in a `Host` header: the port is left out where it is the usual one.
fn authority(subject: &Subject, usual: u16) -> String {
    let (address, port) = (subject.destination, subject.asked.port);
    let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    if port == usual { host } else { format!("{host}:{port}") }
}

/// An exchange over a connection that has to be driven meanwhile. What ends the connection ends the exchange too, and says
/// better why.
async fn over<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let connection = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        said = exchange => said,
        said = connection => said,
    }
}
