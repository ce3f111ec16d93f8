//! What passes a TAP device, and what does not.

use guideway_dataplane::counters::Counter;
use guideway_dataplane::ids::PortId;
use std::collections::BTreeMap;

/// Why a frame of the kernel did not get to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No buffer was free, or none is long enough.
    NoBuffer,
    /// The worker's ring was half full: the other half is not for the kernel.
    InjectFull,
}

/// Counts of one TAP device. Each is written by one thread alone.
#[derive(Debug, Default)]
pub struct TapCounters {
    /// Frames that the kernel got.
    pub to_kernel: Counter,
    /// Frames for it beyond the rate.
    pub to_kernel_rate: Counter,
    /// Frames for it that found the ring to the thread full.
    pub to_kernel_full: Counter,
    /// Frames that the device did not take: it is down.
    pub to_kernel_refused: Counter,
    /// Frames of the kernel that a worker was given.
    pub from_kernel: Counter,
    /// Frames of it beyond the rate.
    pub from_kernel_rate: Counter,
    /// Frames of it that found the ring to the real-time thread full.
    pub from_kernel_full: Counter,
    /// [`Lost::NoBuffer`].
    pub from_kernel_no_buffer: Counter,
    /// [`Lost::InjectFull`].
    pub from_kernel_inject_full: Counter,
}

/// One TAP device as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapReport {
    /// Its port.
    pub port: PortId,
    /// Its name.
    pub device: String,
    /// Frames that the kernel got.
    pub to_kernel: u64,
    /// Frames for it that were dropped, by reason; reasons that never happened are left out.
    pub to_kernel_drops: BTreeMap<String, u64>,
    /// Frames that it sent.
    pub from_kernel: u64,
    /// Frames of it that were dropped, by reason; reasons that never happened are left out.
    pub from_kernel_drops: BTreeMap<String, u64>,
}

impl TapReport {
    pub(super) fn new(port: PortId, device: &str, counters: &TapCounters) -> Self {
        Self {
            port,
            device: device.to_owned(),
            to_kernel: counters.to_kernel.get(),
            to_kernel_drops: drops([
                ("rate_limited", &counters.to_kernel_rate),
                ("queue_full", &counters.to_kernel_full),
                ("device_down", &counters.to_kernel_refused),
            ]),
            from_kernel: counters.from_kernel.get(),
            from_kernel_drops: drops([
                ("rate_limited", &counters.from_kernel_rate),
                ("queue_full", &counters.from_kernel_full),
                ("no_buffer", &counters.from_kernel_no_buffer),
                ("inject_full", &counters.from_kernel_inject_full),
            ]),
        }
    }
}

fn drops<const N: usize>(reasons: [(&str, &Counter); N]) -> BTreeMap<String, u64> {
    let counts = reasons.into_iter().map(|(reason, counter)| (reason.to_owned(), counter.get()));
    counts.filter(|(_, count)| *count > 0).collect()
}
