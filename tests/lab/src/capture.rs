//! Captures with tcpdump.

use crate::namespace::Namespace;
use crate::packet::{Packet, read_capture};
use crate::process::{Process, wait_for};
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Bytes kept of each frame, if not all: Ethernet, two IPv6 headers and a TCP header with all its options.
const SNAP_LENGTH: &str = "176";
/// The kernel's buffer in KiB.
const BUFFER: &str = "32768";
/// How long a frame may be on its way from the wire to tcpdump's reading.
const SETTLE: Duration = Duration::from_millis(100);

/// A running capture; dropped means stopped.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Starts tcpdump on an interface of a namespace, with nanosecond times of CLOCK_REALTIME, and waits until it
    /// captures. `filter` is a pcap filter, empty for everything.
    pub fn start(namespace: &Namespace, device: &str, file: &Path, filter: &str) -> Result<Self> {
        Self::start_cut(namespace, device, file, filter, SNAP_LENGTH)
    }

    /// The same with every byte of each frame, for [`crate::reassembly::read_streams`].
    pub fn start_whole(namespace: &Namespace, device: &str, file: &Path, filter: &str) -> Result<Self> {
        Self::start_cut(namespace, device, file, filter, "0")
    }

    fn start_cut(namespace: &Namespace, device: &str, file: &Path, filter: &str, snap_length: &str) -> Result<Self> {
        let name = file.to_string_lossy().into_owned();
        let mut arguments = vec!["-i", device, "-w", &name, "-U", "-n", "-s", snap_length, "-B", BUFFER];
        // "-Z root": a tcpdump that changes its user could not write into the lab's folder.
        arguments.extend(["--immediate-mode", "--time-stamp-precision=nano", "-Z", "root"]);
        if !filter.is_empty() {
            arguments.push(filter);
        }
        let mut process = namespace.spawn("tcpdump", &arguments, &file.with_extension("log"))?;
        wait_for("tcpdump to listen", Duration::from_secs(10), || {
            if let Some(status) = process.try_wait()? {
                bail!("tcpdump on {device} ended: {status}\n{}", process.log_tail(10));
            }
            Ok(process.log_tail(5).contains("listening on").then_some(()))
        })?;
        Ok(Self { process, file: file.to_owned() })
    }

    /// Stops and returns all IP packets.
    ///
    /// # Errors
    ///
    /// When the kernel dropped frames, since a capture with holes proves nothing.
    pub fn finish(mut self) -> Result<Vec<Packet>> {
        sleep(SETTLE);
        self.process.signal(Signal::SIGINT)?;
        self.process.wait(Duration::from_secs(10))?;
        let summary = self.process.log_tail(5);
        let dropped = summary.lines().find_map(|line| line.strip_suffix(" packets dropped by kernel"));
        match dropped.map(str::trim) {
            Some("0") => read_capture(&self.file),
            Some(count) => bail!("the capture has holes: the kernel dropped {count} frames"),
            None => bail!("tcpdump left no summary:\n{summary}"),
        }
        .context("capture")
    }
}
