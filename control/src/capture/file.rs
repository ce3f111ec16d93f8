//! The pcapng file (draft-ietf-opsawg-pcapng): an interface for each port and direction, nanoseconds, a comment a packet.

use guideway_config::model::Config;
use guideway_dataplane::observe::Seen;
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{Endianness, PcapResult};
use std::borrow::Cow;
use std::time::Duration;

/// 10^-9 seconds (section 4.2).
const NANOSECONDS: u8 = 9;
/// Direction in the flags of a packet (section 4.3.1).
const INBOUND: u32 = 0b01;
const OUTBOUND: u32 = 0b10;

/// A file that is written in pieces.
pub(super) struct PcapNg {
    writer: PcapNgWriter<Vec<u8>>,
    taken: u64,
}

impl PcapNg {
    /// The head of a file of these ports' frames, of each at most `snap` bytes.
    pub(super) fn new(config: &Config, snap: u32) -> PcapResult<Self> {
        let application = format!("guideway {}", env!("CARGO_PKG_VERSION"));
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: vec![SectionHeaderOption::UserApplication(Cow::Owned(application))],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(Vec::new(), section)?;
        for port in &config.ports {
            for (direction, what) in [("in", "comes in by"), ("out", "leaves by")] {
                writer.write_pcapng_block(InterfaceDescriptionBlock {
                    linktype: DataLink::ETHERNET,
                    snaplen: snap,
                    options: vec![
                        InterfaceDescriptionOption::IfName(Cow::Owned(format!("{}-{direction}", port.name))),
                        InterfaceDescriptionOption::IfDescription(Cow::Owned(format!("{what} port {}", port.name))),
                        InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                    ],
                })?;
            }
        }
        Ok(Self { writer, taken: 0 })
    }

    /// Appends a frame that was seen at `at`, since 1970.
    pub(super) fn write(&mut self, seen: &Seen, at: Duration, comment: &str) -> PcapResult<()> {
        let direction = if seen.leaves { OUTBOUND } else { INBOUND };
        self.writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id: u32::from(seen.port.0) * 2 + u32::from(seen.leaves),
            timestamp: at,
            original_len: seen.len as u32,
            data: Cow::Borrowed(seen.bytes()),
            options: vec![
                EnhancedPacketOption::Comment(Cow::Borrowed(comment)),
                EnhancedPacketOption::Flags(direction),
            ],
        })?;
        Ok(())
    }

    /// Appends the end: frames that the file lacks, whatever their port was.
    pub(super) fn finish(&mut self, at: Duration, lost: u64) -> PcapResult<()> {
        let comment = format!("frames that no buffer was free for, of all ports: {lost}");
        self.writer.write_pcapng_block(InterfaceStatisticsBlock {
            interface_id: 0,
            timestamp: at.as_nanos() as u64,
            options: vec![
                InterfaceStatisticsOption::Comment(Cow::Owned(comment)),
                InterfaceStatisticsOption::IsbIfDrop(lost),
            ],
        })?;
        Ok(())
    }

    /// Bytes of the file so far.
    pub(super) fn len(&self) -> u64 {
        self.taken + self.writer.get_ref().len() as u64
    }

    /// Bytes that [`PcapNg::take`] would return.
    pub(super) fn waiting(&self) -> usize {
        self.writer.get_ref().len()
    }

    /// What was written since the last call: whole blocks.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let taken = std::mem::take(self.writer.get_mut());
        self.taken += taken.len() as u64;
        taken
    }
}
