//! The real-time thread's end of the exception path.

use super::LONGEST_FRAME;
use super::counters::{Lost, TapCounters, TapReport};
use super::ring::{FrameReceiver, FrameSender};
use guideway_dataplane::ids::PortId;
use guideway_dataplane::port::Packet;
use guideway_dataplane::punt::{PuntClass, RateLimit};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::ethernet;
use guideway_dataplane::wire::vlan::Tags;
use std::sync::Arc;

/// Frames of one TAP device that a step takes.
const BATCH: usize = 64;

/// The way of frames to and from the kernel. The default one leads nowhere.
#[derive(Default)]
pub struct KernelPath {
    lanes: Vec<Lane>,
    scratch: Vec<u8>,
}

/// The way to and from one TAP device.
pub(super) struct Lane {
    port: PortId,
    device: String,
    up: FrameSender,
    down: FrameReceiver,
    /// One for each class: a flood of one must not cost another its place.
    limits: [RateLimit; PuntClass::COUNT],
    counters: Arc<TapCounters>,
}

impl Lane {
    pub(super) fn new(
        port: PortId,
        device: String,
        up: FrameSender,
        down: FrameReceiver,
        rate: u32,
        counters: Arc<TapCounters>,
    ) -> Self {
        Self { port, device, up, down, limits: PuntClass::ALL.map(|_| RateLimit::new(rate)), counters }
    }
}

impl KernelPath {
    pub(super) fn new(lanes: Vec<Lane>) -> Self {
        Self { lanes, scratch: Vec::with_capacity(LONGEST_FRAME) }
    }

    /// Whether the kernel has a way to this port.
    #[must_use]
    pub fn leads_to(&self, port: PortId) -> bool {
        self.lanes.iter().any(|lane| lane.port == port)
    }

    /// Gives the kernel a copy of a packet that came in on `port`, with the tags that were taken out of it. What it does
    /// not take is counted.
    pub fn give<P: Packet>(&mut self, now: Nanos, port: PortId, class: PuntClass, packet: &P, tags: Tags) {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.port == port) else { return };
        if !lane.limits[class as usize].allow(now) {
            return lane.counters.to_kernel_rate.add(1);
        }
        as_received(packet, tags, &mut self.scratch);
        if !lane.up.push(&self.scratch) {
            lane.counters.to_kernel_full.add(1);
        }
    }

    /// Hands what the kernel sent to `send`, with the port that it is to leave by. Returns how many frames there were.
    pub fn take(&mut self, mut send: impl FnMut(PortId, &[u8]) -> Result<(), Lost>) -> usize {
        let Self { lanes, scratch } = self;
        let mut taken = 0;
        for lane in lanes {
            for _ in 0..BATCH {
                if !lane.down.pop(scratch) {
                    break;
                }
                taken += 1;
                let counter = match send(lane.port, scratch) {
                    Ok(()) => &lane.counters.from_kernel,
                    Err(Lost::NoBuffer) => &lane.counters.from_kernel_no_buffer,
                    Err(Lost::InjectFull) => &lane.counters.from_kernel_inject_full,
                };
                counter.add(1);
            }
        }
        taken
    }

    /// What happened so far, by TAP device.
    #[must_use]
    pub fn report(&self) -> Vec<TapReport> {
        self.lanes.iter().map(|lane| TapReport::new(lane.port, &lane.device, &lane.counters)).collect()
    }
}

/// Writes the frame as it was before its tags were taken out.
fn as_received<P: Packet>(packet: &P, tags: Tags, out: &mut Vec<u8>) {
    out.clear();
    let mut place = Some(tags.bytes());
    packet.for_each_segment(&mut |bytes| match place.take() {
        Some(tags) => {
            let (addresses, rest) = bytes.split_at(ethernet::ADDRESSES_LEN.min(bytes.len()));
            out.extend_from_slice(addresses);
            out.extend_from_slice(&tags);
            out.extend_from_slice(rest);
        }
        None => out.extend_from_slice(bytes),
    });
}
