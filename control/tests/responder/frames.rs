//! The machine under test and frames to ask it with.

use guideway_config::model::Announce;
use guideway_control::neighbor::Link;
use guideway_control::responder::{Responder, Verdict};
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::port::Packet;
use guideway_dataplane::time::Nanos;
use ipnet::IpNet;
use std::net::IpAddr;

pub const LINK: LinkId = LinkId(0);
pub const SECOND: LinkId = LinkId(1);
pub const ME: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const ME_TOO: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
pub const START: Nanos = Nanos(1_000_000_000_000);

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A prefix, or an address with full length.
pub fn net(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| IpNet::from(ip(text)))
}

pub fn links() -> [Link; 2] {
    let nets = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
    [
        Link { id: LINK, mac: ME, addresses: nets(&["10.0.0.1/24", "fd00::1/64"]) },
        Link { id: SECOND, mac: ME_TOO, addresses: nets(&["10.1.0.1/24"]) },
    ]
}

pub fn vips() -> Vec<(IpNet, Announce)> {
    vec![
        (net("10.0.0.100"), Announce::Auto),
        (net("fd00::100"), Announce::Auto),
        (net("203.0.113.10"), Announce::Arp),
        (net("203.0.113.10"), Announce::None),
        (net("203.0.113.11"), Announce::Auto),
        (net("10.0.0.101"), Announce::None),
    ]
}

/// Two links, own addresses, VIPs of every kind of announcement.
pub fn responder() -> Responder {
    let mut responder = Responder::new();
    responder.configure(START, &links(), &vips());
    responder
}

/// Lets the responder handle a frame: the verdict, and the packet's bytes after it.
pub fn ask(responder: &mut Responder, link: LinkId, frame: &[u8]) -> (Verdict, Vec<u8>) {
    let mut packet = MemoryPacket::new(frame);
    let verdict = responder.handle(START, link, &mut packet);
    (verdict, packet.frame().to_vec())
}

pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// The question and the answer of that name in `vectors.txt`.
pub fn vector(name: &str) -> (Vec<u8>, Vec<u8>) {
    let found = vectors().into_iter().find(|vector| vector.0 == name);
    let (_, question, answer) = found.unwrap_or_else(|| panic!("no vector {name}"));
    (question, answer)
}

/// Every vector: name, question, answer.
pub fn vectors() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let text = include_str!("vectors.txt");
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    lines.chunks_exact(3).map(|lines| (lines[0], hex(lines[1]), hex(lines[2]))).collect()
}

/// The checksum of RFC 1071, the plain way: of bytes that hold their checksum it is zero.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Length of the frame's IP header, and where the packet ends.
fn extent(frame: &[u8]) -> (usize, usize) {
    if frame[12..14] == [8, 0] {
        (usize::from(frame[14] & 15) * 4, 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]])))
    } else {
        (40, 54 + usize::from(u16::from_be_bytes([frame[18], frame[19]])))
    }
}

/// Where the checksum of the transport protocol or ICMP lies, and the sum over all that it covers.
fn transport(frame: &[u8]) -> (usize, u16) {
    let (header, end) = extent(frame);
    let body = &frame[14 + header..end];
    let v4 = header != 40 || frame[12..14] == [8, 0];
    let (protocol, addresses) = if v4 { (frame[23], &frame[26..34]) } else { (frame[20], &frame[22..54]) };
    let offset = match protocol {
        6 => 16,
        17 => 6,
        _ => 2,
    };
    let mut covered = Vec::new();
    if protocol != 1 {
        covered.extend(addresses);
        covered.extend([0, protocol]);
        covered.extend(&(body.len() as u16).to_be_bytes());
    }
    covered.extend(body);
    (14 + header + offset, checksum(&covered))
}

/// Makes the checksums of an IP frame right again after it was altered.
pub fn mend(frame: &mut [u8]) {
    if frame[12..14] == [8, 0] {
        let header = extent(frame).0;
        frame[24..26].fill(0);
        let sum = checksum(&frame[14..14 + header]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    let (at, _) = transport(frame);
    frame[at..at + 2].fill(0);
    let (_, sum) = transport(frame);
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Whether every checksum of an IP frame is right.
pub fn is_sound(frame: &[u8]) -> bool {
    let header = frame[12..14] != [8, 0] || checksum(&frame[14..14 + extent(frame).0]) == 0;
    header && transport(frame).1 == 0
}
