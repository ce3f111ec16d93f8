//! Capture files: pcap and pcapng in, pcap with nanoseconds out.

use guideway_dataplane::time::Nanos;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError, TsResolution};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// First bytes of a pcapng file (draft-ietf-opsawg-pcapng, section 4.1).
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// What is wrong with a capture file.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: std::io::Error,
    },
    /// It is no capture, or a broken one.
    #[error("{path}: packet {packet}: {source}; pcap and pcapng files are read")]
    Format {
        /// The file.
        path: PathBuf,
        /// The packet where reading stopped, from 1; 0 for the file's header.
        packet: u64,
        /// What the reader says.
        source: PcapError,
    },
    /// It was not captured on Ethernet.
    #[error("{path}: captured on link type {found:?}; only Ethernet captures can be replayed")]
    LinkType {
        /// The file.
        path: PathBuf,
        /// The link type.
        found: DataLink,
    },
}

/// A frame of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it was captured, since 1970.
    pub at: Nanos,
    /// Its bytes, as far as they were captured.
    pub bytes: Vec<u8>,
    /// Whether the capture holds less than what was on the wire.
    pub cut: bool,
}

enum Format {
    Pcap(PcapReader<BufReader<File>>),
    PcapNg(PcapNgReader<BufReader<File>>),
}

/// A capture being read.
pub struct Capture {
    path: PathBuf,
    format: Format,
    packet: u64,
}

impl Capture {
    /// Opens a pcap or pcapng file.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] if it cannot be read or is neither.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let io = |source| CaptureError::Io { path: path.to_owned(), source };
        let broken = |source| CaptureError::Format { path: path.to_owned(), packet: 0, source };
        let mut file = File::open(path).map_err(io)?;
        let mut magic = Vec::new();
        (&file).take(PCAPNG_MAGIC.len() as u64).read_to_end(&mut magic).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let reader = BufReader::new(file);
        let format = if magic == PCAPNG_MAGIC {
            Format::PcapNg(PcapNgReader::new(reader).map_err(broken)?)
        } else {
            let reader = PcapReader::new(reader).map_err(broken)?;
            check_link_type(path, reader.header().datalink)?;
            Format::Pcap(reader)
        };
        Ok(Self { path: path.to_owned(), format, packet: 0 })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] if the file is broken from here on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        self.packet += 1;
        let Self { path, format, packet } = self;
        let broken = |source| CaptureError::Format { path: path.clone(), packet: *packet, source };
        match format {
            Format::Pcap(reader) => {
                let Some(next) = reader.next_packet() else { return Ok(None) };
                let packet = next.map_err(broken)?;
                let cut = (packet.data.len() as u64) < u64::from(packet.orig_len);
                Ok(Some(Frame { at: nanos(packet.timestamp), bytes: packet.data.into_owned(), cut }))
            }
            Format::PcapNg(reader) => loop {
                let Some(next) = reader.next_block() else { return Ok(None) };
                let Block::EnhancedPacket(block) = next.map_err(broken)? else { continue };
                let (ticks, interface) = (block.timestamp.as_nanos() as u64, block.interface_id);
                let cut = (block.data.len() as u64) < u64::from(block.original_len);
                let bytes = block.data.into_owned();
                let missing = PcapError::InvalidField("a packet of an interface that was not described");
                let interface = reader.interfaces().get(interface as usize).ok_or(missing).map_err(broken)?;
                check_link_type(path, interface.linktype)?;
                return Ok(Some(Frame { at: scale(ticks, interface), bytes, cut }));
            },
        }
    }
}

fn check_link_type(path: &Path, found: DataLink) -> Result<(), CaptureError> {
    if found == DataLink::ETHERNET { Ok(()) } else { Err(CaptureError::LinkType { path: path.to_owned(), found }) }
}

fn nanos(since_1970: Duration) -> Nanos {
    Nanos(since_1970.as_nanos() as u64)
}

/// Ticks of an interface as nanoseconds: `if_tsresol` (section 4.2) is a negative power of ten or, with the high bit, of
/// two; microseconds if absent.
fn scale(ticks: u64, interface: &InterfaceDescriptionBlock<'_>) -> Nanos {
    let resolution = interface.options.iter().find_map(|option| match option {
        InterfaceDescriptionOption::IfTsResol(resolution) => Some(*resolution),
        _ => None,
    });
    let resolution = resolution.unwrap_or(6);
    let per_second = if resolution & 0x80 == 0 {
        10_u128.checked_pow(u32::from(resolution))
    } else {
        1_u128.checked_shl(u32::from(resolution & 0x7f))
    };
    let per_second = per_second.unwrap_or(1).max(1);
    Nanos((u128::from(ticks) * 1_000_000_000 / per_second) as u64)
}

/// A capture being written.
pub struct CaptureWriter {
    path: PathBuf,
    writer: PcapWriter<BufWriter<File>>,
}

impl CaptureWriter {
    /// Creates a pcap file; one that is there is replaced.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] if it cannot be written.
    pub fn create(path: &Path) -> Result<Self, CaptureError> {
        let io = |source| CaptureError::Io { path: path.to_owned(), source };
        let header =
            PcapHeader { datalink: DataLink::ETHERNET, ts_resolution: TsResolution::NanoSecond, ..Default::default() };
        let file = BufWriter::new(File::create(path).map_err(io)?);
        let writer = PcapWriter::with_header(file, header);
        let writer = writer.map_err(|source| CaptureError::Format { path: path.to_owned(), packet: 0, source })?;
        Ok(Self { path: path.to_owned(), writer })
    }

    /// Appends a frame.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] if it cannot be written.
    pub fn write(&mut self, at: Nanos, frame: &[u8]) -> Result<(), CaptureError> {
        let packet = PcapPacket::new(Duration::from_nanos(at.0), frame.len() as u32, frame);
        let failed = |source| CaptureError::Format { path: self.path.clone(), packet: 0, source };
        self.writer.write_packet(&packet).map(drop).map_err(failed)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] if it cannot be written.
    pub fn finish(self) -> Result<(), CaptureError> {
        let Self { path, writer } = self;
        writer.into_writer().flush().map_err(|source| CaptureError::Io { path, source })
    }
}
