//! An echo request and its answer, without the program of that name.

use crate::namespace::Namespace;
use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Requests before giving up.
const TRIES: u8 = 10;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes that a request carries behind its header unless told otherwise: as many as the program of that name sends.
const PAYLOAD: usize = 56;
/// Identifier of the requests.
const IDENTIFIER: [u8; 2] = [0x67, 0x77];

/// Sends echo requests (RFC 792, RFC 4443) from a namespace until one is answered with all that it carried; returns how
/// many it took.
pub fn ping(namespace: &Namespace, address: IpAddr) -> Result<u8> {
    ping_with(namespace, address, PAYLOAD)
}

/// Like [`ping`], with requests that carry `payload` bytes, at most 1,472.
pub fn ping_with(namespace: &Namespace, address: IpAddr, payload: usize) -> Result<u8> {
    namespace.enter(|| {
        let (domain, protocol) = match address {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let mut socket = Socket::new(domain, Type::RAW, Some(protocol)).context("cannot open a raw socket")?;
        socket.set_read_timeout(Some(PATIENCE)).context("cannot set a timeout")?;
        for number in 1..=TRIES {
            let request = message(if address.is_ipv4() { 8 } else { 128 }, number, payload);
            let sent = socket.send_to(&request, &SockAddr::from(SocketAddr::new(address, 0)));
            sent.with_context(|| format!("cannot send to {address}"))?;
            // An ICMPv6 checksum covers addresses and is the kernel's business (RFC 3542 section 3.1).
            let answer = message(if address.is_ipv4() { 0 } else { 129 }, number, payload);
            if is_answered(&mut socket, address, &answer) {
                return Ok(number);
            }
        }
        bail!("{address} answered none of {TRIES} echo requests")
    })?
}

fn is_answered(socket: &mut Socket, address: IpAddr, answer: &[u8]) -> bool {
    let begun = Instant::now();
    let mut buffer = [0; 2048];
    while begun.elapsed() < PATIENCE {
        let Ok(length) = socket.read(&mut buffer) else { return false };
        // A raw IPv4 socket delivers the IP header too.
        let header = if address.is_ipv4() { usize::from(buffer[0] & 0x0f) * 4 } else { 0 };
        let Some(got) = buffer[..length].get(header..) else { continue };
        let checksum_matters = usize::from(address.is_ipv4()) * 2;
        if got.get(..2) == answer.get(..2) && got.get(4 - checksum_matters..) == answer.get(4 - checksum_matters..) {
            return true;
        }
    }
    false
}

fn message(kind: u8, number: u8, payload: usize) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, IDENTIFIER[0], IDENTIFIER[1], 0, number];
    message.extend((0..=u8::MAX).cycle().take(payload));
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::{checksum, message};

    #[test]
    fn a_message_with_its_checksum_sums_to_zero() {
        assert_eq!(checksum(&message(8, 3, 19)), 0);
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2, "the example of RFC 1071");
    }
}
