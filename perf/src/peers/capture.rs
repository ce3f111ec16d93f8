//! The packets that all contenders get, and the tables by which the exact and the longest match find them.

use super::Error;
use crate::memory::FreeList;
use crate::scenario::{Case, Treatment};
use guideway_control::replay::CaptureWriter;
use guideway_dataplane::hash::FlowKey;
use guideway_dataplane::parse::{Outcome, parse};
use guideway_dataplane::port::{Packet as _, PacketPool as _};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of a frame without its check sequence: 64 on the wire.
pub const FRAME_LEN: usize = 60;
/// The port that packets leave by, as the tables name it.
const EGRESS: u8 = 1;
/// A route that no packet takes: `l3fwd` wants a file for each family.
const OTHER_FAMILY: &str = "2001:db8:ffff::";

/// A capture on disk with a packet of each flow, and what `l3fwd` must know to forward them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Flows, and packets.
    pub flows: u32,
    /// The capture.
    pub packets: PathBuf,
    /// Rules of the exact match, IPv4: one for each flow. Of IPv6: one that nothing takes.
    pub exact: [PathBuf; 2],
    /// Routes of the longest match, IPv4: one that all flows take. Of IPv6: one that nothing takes.
    pub longest: [PathBuf; 2],
}

impl Capture {
    /// Writes the files for `flows` flows into `directory`. The flows come in an order that is far from that of the
    /// rules, as it is of traffic.
    ///
    /// # Errors
    ///
    /// What could not be written.
    pub fn write(directory: &Path, flows: u32) -> Result<Self, Error> {
        let path = |name: &str| directory.join(format!("{name}-{flows}"));
        let capture = Self {
            flows,
            packets: path("packets.pcap"),
            exact: [path("exact-4"), path("exact-6")],
            longest: [path("longest-4"), path("longest-6")],
        };
        let (frames, keys) = packets(flows);
        let mut writer = CaptureWriter::create(&capture.packets)?;
        for place in shuffled(flows) {
            writer.write(Nanos(0), &frames[place])?;
        }
        writer.finish()?;
        let mut exact = String::new();
        for key in &keys {
            // A String takes everything.
            let _ = writeln!(exact, "{}", exact_rule(key));
        }
        let longest = keys.first().map(|key| format!("R{}/32 {EGRESS}\n", key.destination())).unwrap_or_default();
        let texts = [
            (&capture.exact[0], exact),
            (&capture.exact[1], format!("R{OTHER_FAMILY}1 {OTHER_FAMILY}2 1 1 6 {EGRESS}\n")),
            (&capture.longest[0], longest),
            (&capture.longest[1], format!("R{OTHER_FAMILY}/48 {EGRESS}\n")),
        ];
        for (path, text) in texts {
            fs::write(path, text)
                .map_err(|source| Error::Io { what: format!("writing {}", path.display()), source })?;
        }
        Ok(capture)
    }
}

/// What the worker forwards as `treatment`, for as many flows as the capture has. The same VIP and addresses as those of
/// the packets.
#[must_use]
pub fn case(treatment: Treatment, flows: u32, backends: u16) -> Case {
    Case { treatment, flows, backends, frame_len: FRAME_LEN, ..Case::default() }
}

/// A frame of each flow, and its key.
fn packets(flows: u32) -> (Vec<Vec<u8>>, Vec<FlowKey>) {
    let mut traffic = case(Treatment::L2dsr, flows, 1).traffic();
    let pool = FreeList::default();
    let port = PortState::taking_any_destination([0; 6]);
    let mut next = || {
        let mut packet = pool.alloc(&[])?;
        traffic.write(&mut packet);
        let frame = packet.frame().to_vec();
        match parse(&frame, frame.len(), &port) {
            Outcome::Packet(parsed) => Some((frame, parsed.key)),
            _ => None,
        }
    };
    (0..flows).filter_map(|_| next()).unzip()
}

/// The places 0 to `count` - 1, each once, in wide steps.
fn shuffled(count: u32) -> impl Iterator<Item = usize> {
    // A prime above every number of flows that is allowed visits all places.
    const STRIDE: u64 = 611_953;
    (0..u64::from(count)).map(move |number| (number * STRIDE % u64::from(count)) as usize)
}

/// The line of a flow: destination, source, their ports, protocol, and where it leaves.
fn exact_rule(key: &FlowKey) -> String {
    let (destination, source) = (key.destination(), key.source());
    let (to, from, protocol) = (key.destination_port(), key.source_port(), key.protocol());
    format!("R{destination} {source} {to} {from} {protocol} {EGRESS}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_control::replay::{Capture as Reader, Frame};
    use std::collections::HashSet;

    #[test]
    fn every_packet_has_a_rule_and_every_rule_a_packet() {
        let directory = tempfile::tempdir().expect("a directory");
        let capture = Capture::write(directory.path(), 1_000).expect("files");
        let rules = fs::read_to_string(&capture.exact[0]).expect("rules");
        let rules: HashSet<&str> = rules.lines().collect();
        assert_eq!(rules.len(), 1_000);
        let service = case(Treatment::L2dsr, 1_000, 1).frames().service.ip();
        let to_service = format!("R{service} ");
        assert!(rules.iter().all(|rule| rule.starts_with(&to_service) && rule.ends_with(" 6 1")), "{rules:?}");

        let mut reader = Reader::open(&capture.packets).expect("a capture");
        let mut seen = HashSet::new();
        while let Some(Frame { bytes: frame, .. }) = reader.next_frame().expect("a packet") {
            assert_eq!(frame.len(), FRAME_LEN);
            let Outcome::Packet(parsed) = parse(&frame, frame.len(), &PortState::taking_any_destination([0; 6])) else {
                panic!("{frame:02x?}");
            };
            let rule = exact_rule(&parsed.key);
            assert!(rules.contains(rule.as_str()), "{rule}");
            seen.insert(rule);
        }
        assert_eq!(seen.len(), 1_000);
    }

    #[test]
    fn the_order_is_a_permutation_far_from_the_rules() {
        for count in [1, 2, 1_000, 99_999, super::super::MAX_FLOWS] {
            let order: Vec<usize> = shuffled(count).collect();
            assert_eq!(order.iter().collect::<HashSet<_>>().len(), count as usize, "{count}");
        }
        let order: Vec<usize> = shuffled(100_000).collect();
        assert!(order.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1_000), "neighbours");
    }
}
