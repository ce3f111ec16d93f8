//! The exception path: what Guideway has no use for goes to the kernel by a TAP device for each port, and what the kernel
//! sends there leaves by the port, both as they are.
//!
//! ```text
//! worker ── punt ring ──> rt ── frame ring ──> gw-exception ──> TAP device ──> kernel
//! worker <── inject ring ── rt <── frame ring ── gw-exception <── TAP device <── kernel
//! ```
//!
//! [`user`] decides which packets the kernel gets. The real-time thread, which owns the buffers, copies frames into and out
//! of rings of bytes ([`KernelPath`]); a thread of its own makes the system calls ([`Exchange`]). That one has no priority
//! and may be stopped at any instruction, so it touches nothing that others wait for: neither buffers, nor the rings of
//! workers, whose other side would spin while it is held up inside. The rings of bytes are wait-free.
//!
//! Every bound drops and counts: a rate on each direction, the rings of bytes, and of a worker's inject ring one half, so
//! that probes always find room.

mod counters;
mod exchange;
mod kernel_path;
pub(crate) mod ring;
mod tap;
mod user;

pub use counters::{Lost, TapCounters, TapReport};
pub use exchange::Exchange;
pub use kernel_path::KernelPath;
pub use tap::{Tap, TapDevice, TapError};
pub use user::{User, user};

use guideway_dataplane::ids::PortId;
use std::sync::Arc;

/// Bytes of the frames that wait in one direction at most: at the default rate, full frames for 30 ms.
const RING_BYTES: usize = 1 << 20;
/// Longest frame of a TAP device, whose MTU is at most 65,521 bytes.
const LONGEST_FRAME: usize = u16::MAX as usize;

/// The TAP device of one port.
pub struct PortTap {
    /// The port.
    pub port: PortId,
    /// The device's name.
    pub name: String,
    /// The device.
    pub tap: Box<dyn Tap>,
}

/// Both ends of the exception path over these devices: that of the real-time thread and that of the thread that speaks to
/// the kernel. `rate` is in packets a second: of each device what the kernel sends, and each class of what it gets.
#[must_use]
pub fn path(taps: Vec<PortTap>, rate: u32) -> (KernelPath, Exchange) {
    let (mut lanes, mut ends) = (Vec::with_capacity(taps.len()), Vec::with_capacity(taps.len()));
    for PortTap { port, name, tap } in taps {
        let (up, from_port) = ring::frames(RING_BYTES);
        let (to_port, down) = ring::frames(RING_BYTES);
        let counters = Arc::new(TapCounters::default());
        ends.push(exchange::End::new(name.clone(), tap, from_port, to_port, rate, Arc::clone(&counters)));
        lanes.push(kernel_path::Lane::new(port, name, up, down, rate, counters));
    }
    (KernelPath::new(lanes), Exchange::new(ends))
}
