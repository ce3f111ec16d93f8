//! Ordinary sockets, to the backend's own address.

use super::speak::Fault;
use super::subject::Subject;
use crate::health::Reason;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// The longest datagram that is read.
pub(super) const LONGEST_DATAGRAM: usize = 4_096;
/// Types of echo replies (RFC 792, RFC 4443 section 4.2).
const REPLIES: [u8; 2] = [0, 129];
const REQUESTS: [u8; 2] = [8, 128];
/// Length of an echo message's header.
const ECHO_HEADER: usize = 8;
/// Random bytes by which an echo is known again.
const NONCE: usize = 16;

/// Sockets to one subject.
pub(super) struct Sockets<'s> {
    subject: &'s Subject,
}

impl<'s> Sockets<'s> {
    pub(super) const fn new(subject: &'s Subject) -> Self {
        Self { subject }
    }

    fn destination(&self) -> SocketAddr {
        (self.subject.destination, self.subject.asked.port).into()
    }

    /// Any port of the source.
    fn source(&self) -> Option<SocketAddr> {
        self.subject.source.map(|source| (source, 0).into())
    }

    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let to = self.destination();
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = self.source() {
            socket.bind(source)?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Connected, so that the kernel tells what comes back as ICMP, and strangers are not heard.
    pub(super) async fn datagrams(&self) -> io::Result<UdpSocket> {
        let to = self.destination();
        let any = SocketAddr::new(if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, 0);
        let socket = UdpSocket::bind(self.source().unwrap_or(any)).await?;
        socket.connect(to).await?;
        Ok(socket)
    }

    /// A socket for ICMP: one of datagrams, where the system lets us, else a raw one.
    fn icmp(&self) -> io::Result<UdpSocket> {
        let (domain, protocol) = match self.subject.destination {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(protocol))
            .or_else(|_| Socket::new(domain, Type::RAW, Some(protocol)))?;
        socket.set_nonblocking(true)?;
        if let Some(source) = self.source() {
            socket.bind(&source.into())?;
        }
        socket.connect(&SocketAddr::new(self.subject.destination, 0).into())?;
        // Reading and writing is what it has in common with a socket of UDP.
        UdpSocket::from_std(socket.into())
    }
}

/// Sends an echo request and waits for its reply.
pub(super) async fn ping(sockets: &Sockets<'_>) -> Result<(), Fault> {
    let socket = sockets.icmp()?;
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|error| Fault::ours(&error))?;
    socket.send(&echo_request(sockets.subject.destination, &nonce)).await?;
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    loop {
        let len = socket.recv(&mut buffer).await?;
        match judge(&buffer[..len], &nonce) {
            Some(true) => return Ok(()),
            Some(false) => return Err(Fault::of(Reason::Unreachable)),
            None => {}
        }
    }
}

/// The kernel fills in the checksum of ICMPv6, and of either with a socket of datagrams; a raw socket does not in IPv4.
fn echo_request(to: IpAddr, nonce: &[u8; NONCE]) -> Vec<u8> {
    let kind = REQUESTS[usize::from(to.is_ipv6())];
    let mut message = [&[kind, 0, 0, 0, nonce[0], nonce[1], 0, 1][..], nonce].concat();
    let sum = message.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = !((folded & 0xffff) + (folded >> 16)) as u16;
    message[2..4].copy_from_slice(&folded.to_be_bytes());
    message
}

/// Whether a message replies to ours; `Some(false)`: it says that ours did not arrive; `None`: it is another one. A raw socket
/// of IPv4 hears every message of the other side, each behind its IP header.
fn judge(message: &[u8], nonce: &[u8; NONCE]) -> Option<bool> {
    let header = match message.first()? {
        first if first >> 4 == 4 => usize::from(first & 0x0f) * 4,
        _ => 0,
    };
    let message = message.get(header..)?;
    let kind = *message.first()?;
    if REPLIES.contains(&kind) {
        return (message.get(ECHO_HEADER..)? == nonce).then_some(true);
    }
    // "Destination unreachable" quotes what did not arrive.
    let unreachable = kind == 3 || kind == 1;
    (unreachable && message.windows(NONCE).any(|window| window == nonce)).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE_OF_TEST: [u8; NONCE] = *b"0123456789abcdef";

    #[test]
    fn replies_are_known_by_their_bytes() {
        let mut reply = echo_request("10.0.0.1".parse().unwrap(), &NONCE_OF_TEST);
        assert_eq!(judge(&reply, &NONCE_OF_TEST), None, "a request");
        reply[0] = 0;
        assert_eq!(judge(&reply, &NONCE_OF_TEST), Some(true));
        let raw = [&[0x45; 20][..], &reply].concat();
        assert_eq!(judge(&raw, &NONCE_OF_TEST), Some(true));
        assert_eq!(judge(&reply, &[0; NONCE]), None);
        let unreachable = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &[0x45; 20], &reply].concat();
        assert_eq!(judge(&unreachable, &NONCE_OF_TEST), Some(false));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(message in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_ne!(judge(&message, &NONCE_OF_TEST), Some(true));
        }

        /// RFC 1071: the sum of a message with its checksum is all ones.
        #[test]
        fn checksums(nonce: [u8; NONCE]) {
            let message = echo_request("10.0.0.1".parse().unwrap(), &nonce);
            let sum: u32 = message.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
            let folded = (sum & 0xffff) + (sum >> 16);
            prop_assert_eq!((folded & 0xffff) + (folded >> 16), 0xffff);
        }
    }
}
