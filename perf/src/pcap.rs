//! Packets out of a capture file that is read over and over, by DPDK's `net_pcap`: what programs can be compared by that bring
//! no source of their own.

use crate::device::{Device, DeviceError, Queues, Source};
use crate::dpdk::{describe, failed, start};
use crate::traffic::Traffic;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dpdk::{Dpdk, Eal, Mempool, Port, PortConfig};
use pcap_file::pcap::{PcapPacket, PcapWriter};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The most flows: each has a frame in a buffer of the driver's.
pub const MAX_PCAP_FLOWS: u32 = 1_000_000;

/// `net_pcap` as source and `net_null` as sink.
#[derive(Debug)]
pub struct PcapDevice {
    pool: Mempool,
    eal: Eal,
    captures: tempfile::TempDir,
    opened: u32,
}

impl PcapDevice {
    /// Starts DPDK as [`crate::dpdk::NullDevice::start`] does, with room for captures of at most `flows` flows, of
    /// frames of up to `longest` bytes.
    ///
    /// # Errors
    ///
    /// What keeps DPDK from starting, or a directory for captures from being made, in words for an operator.
    pub fn start(core: usize, flows: u32, longest: usize) -> Result<Self, DeviceError> {
        // A driver keeps its frames as long as its port lives: one for the case and one for its baseline at a time.
        let buffers = 2 * flows as usize + 8_192;
        let (eal, pool) = start(core, buffers, longest)?;
        let captures =
            tempfile::tempdir().map_err(|error| DeviceError(format!("no directory for captures: {error}")))?;
        Ok(Self { pool, eal, captures, opened: 0 })
    }

    fn attach(&mut self, device: String) -> Result<Queues<Dpdk>, DeviceError> {
        let name = format!("port{}", self.opened);
        self.opened += 1;
        let config = PortConfig { name, device, ..PortConfig::default() };
        let (_, rx, tx) = Port::attach(&self.eal, &config, &self.pool).map_err(failed)?;
        match (rx.into_iter().next(), tx.into_iter().next()) {
            (Some(rx), Some(tx)) => Ok(Queues { rx, tx, pool: Arc::new(self.pool.clone()) }),
            _ => Err(DeviceError(format!("{} has no queues", config.device))),
        }
    }
}

impl Device for PcapDevice {
    type Port = Dpdk;

    fn open(&mut self) -> Result<Queues<Dpdk>, DeviceError> {
        self.attach(format!("net_null{}", self.opened))
    }

    fn source(&mut self, traffic: Traffic) -> Result<Source<Dpdk>, DeviceError> {
        let number = self.opened;
        let file = self.captures.path().join(format!("{number}.pcap"));
        write(&file, traffic)?;
        let source = self.attach(format!("net_pcap{number},rx_pcap={},infinite_rx=1", file.display()))?;
        // The source's own transmit queue would write a file; the null device takes everything and gives nothing.
        let sink = self.attach(format!("net_null{number},no-rx=1"))?;
        Ok(Source { queues: Queues { rx: source.rx, tx: sink.tx, pool: sink.pool }, traffic: None, mac: None })
    }

    fn describe(&self) -> String {
        describe("net_pcap (infinite_rx) and net_null", &self.eal)
    }
}

/// Writes one frame of each flow.
fn write(file: &Path, mut traffic: Traffic) -> Result<(), DeviceError> {
    let failed = |error: &dyn std::fmt::Display| DeviceError(format!("{}: not written: {error}", file.display()));
    let out = BufWriter::new(File::create(file).map_err(|error| failed(&error))?);
    let mut capture = PcapWriter::new(out).map_err(|error| failed(&error))?;
    for _ in 0..traffic.flows() {
        let mut packet = MemoryPacket::new(&[]);
        traffic.write(&mut packet);
        let frame = guideway_dataplane::port::Packet::frame(&packet);
        let record = PcapPacket::new(Duration::ZERO, frame.len() as u32, frame);
        capture.write_packet(&record).map_err(|error| failed(&error))?;
    }
    Ok(())
}
