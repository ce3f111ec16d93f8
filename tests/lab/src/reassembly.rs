//! Byte streams of captured TCP connections.

use crate::packet::{Flow, read_frames};
use anyhow::{Context, Result, ensure};
use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice, ip_number};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// A segment that says something: a SYN, or bytes.
struct Segment<'a> {
    flow: Flow,
    sequence: u32,
    syn: bool,
    bytes: &'a [u8],
}

/// One direction of a connection, segments as they came.
#[derive(Default)]
struct Direction {
    /// Sequence number of the SYN.
    start: Option<u32>,
    /// Sequence numbers and bytes.
    segments: Vec<(u32, Vec<u8>)>,
}

/// The bytes that each side of each connection sent, from the first one behind its SYN on. The capture is of whole frames, as
/// of [`crate::Capture::start_whole`], and connections are shorter than 2 GiB.
///
/// # Errors
///
/// When bytes are missing, differ between a segment and its repetition, or belong to no SYN or to two.
pub fn read_streams(path: &Path) -> Result<HashMap<Flow, Vec<u8>>> {
    assemble(&read_frames(path)?).with_context(|| path.display().to_string())
}

fn assemble(frames: &[Vec<u8>]) -> Result<HashMap<Flow, Vec<u8>>> {
    let mut directions: HashMap<Flow, Direction> = HashMap::new();
    for segment in frames.iter().filter_map(|frame| parse(frame)) {
        let flow = segment.flow;
        let direction = directions.entry(flow).or_default();
        if segment.syn {
            let start = *direction.start.get_or_insert(segment.sequence);
            ensure!(start == segment.sequence, "{flow:?}: two connections");
        }
        if !segment.bytes.is_empty() {
            direction.segments.push((segment.sequence, segment.bytes.to_vec()));
        }
    }
    directions
        .into_iter()
        .map(|(flow, direction)| Ok((flow, direction.bytes().with_context(|| format!("{flow:?}"))?)))
        .collect()
}

impl Direction {
    fn bytes(self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if self.segments.is_empty() {
            return Ok(bytes);
        }
        let first = self.start.context("bytes without a SYN")?.wrapping_add(1);
        let mut segments = self.segments;
        segments.sort_by_key(|(sequence, _)| sequence.wrapping_sub(first));
        for (sequence, segment) in segments {
            let offset = sequence.wrapping_sub(first) as usize;
            ensure!(offset <= bytes.len(), "bytes from {} to {offset} are missing", bytes.len());
            let (again, new) = segment.split_at(segment.len().min(bytes.len() - offset));
            ensure!(bytes[offset..].starts_with(again), "bytes behind {offset} were sent again, and others");
            bytes.extend_from_slice(new);
        }
        Ok(bytes)
    }
}

fn parse(frame: &[u8]) -> Option<Segment<'_>> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let (source, destination): (IpAddr, IpAddr) = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return None };
    Some(Segment {
        flow: Flow {
            source: SocketAddr::new(source, tcp.source_port()),
            destination: SocketAddr::new(destination, tcp.destination_port()),
            protocol: ip_number::TCP.0,
        },
        sequence: tcp.sequence_number(),
        syn: tcp.syn(),
        bytes: tcp.payload(),
    })
}

#[cfg(test)]
mod tests {
    use super::assemble;
    use anyhow::Result;
    use etherparse::PacketBuilder;

    /// A frame of a connection whose SYN has the sequence number 0xffff_fffe.
    fn frame(offset: u32, syn: bool, bytes: &[u8]) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let builder = builder.tcp(1000, 80, 0xffff_ffff_u32.wrapping_add(offset), 100);
        let builder = if syn { builder.syn() } else { builder };
        let mut frame = Vec::new();
        builder.write(&mut frame, bytes).expect("it fits");
        frame
    }

    fn stream(frames: &[Vec<u8>]) -> Result<Vec<u8>> {
        Ok(assemble(frames)?.into_values().next().unwrap_or_default())
    }

    #[test]
    fn order_repetition_and_wrap_do_not_matter() {
        let syn = frame(u32::MAX, true, b"");
        let frames = [syn.clone(), frame(3, false, b"def"), frame(0, false, b"abc"), frame(2, false, b"cdefg"), syn];
        assert_eq!(stream(&frames).expect("a stream"), b"abcdefg");
    }

    #[test]
    fn what_is_no_stream_is_an_error() {
        let syn = || frame(u32::MAX, true, b"");
        let bad = [
            ("missing", vec![syn(), frame(0, false, b"ab"), frame(3, false, b"d")]),
            ("others", vec![syn(), frame(0, false, b"abc"), frame(1, false, b"xc")]),
            ("without a SYN", vec![frame(0, false, b"abc")]),
            ("two connections", vec![syn(), frame(7, true, b"")]),
        ];
        for (says, frames) in bad {
            let error = format!("{:#}", stream(&frames).expect_err(says));
            assert!(error.contains(says), "{error}");
        }
    }
}
