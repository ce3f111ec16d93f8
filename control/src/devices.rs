//! What the control side needs to know of the devices, whatever they are.

use guideway_dataplane::ids::PortId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a device counts itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceCounters {
    /// Frames received.
    pub received: u64,
    /// Their bytes.
    #[serde(default)]
    pub received_bytes: u64,
    /// Frames sent.
    pub sent: u64,
    /// Their bytes.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Frames that arrived and found no place in a receive queue.
    pub missed: u64,
    /// Frames received with errors.
    pub receive_errors: u64,
    /// Frames that could not be sent.
    pub send_errors: u64,
    /// Frames that found no free buffer.
    pub no_buffer: u64,
}

/// The devices behind the ports.
pub trait Devices: Send + Sync {
    /// Whether the port's link is up.
    fn link_up(&self, port: PortId) -> bool;

    /// The name of the driver.
    fn driver(&self, port: PortId) -> String;

    /// The device's own counters.
    fn counters(&self, port: PortId) -> DeviceCounters;

    /// Buffers in use and buffers in all.
    fn buffers(&self) -> (u64, u64);
}

/// Ports whose links are up, and nothing behind them: of a replay, of queues in memory.
pub struct NoDevices;

impl Devices for NoDevices {
    fn link_up(&self, _port: PortId) -> bool {
        true
    }

    fn driver(&self, _port: PortId) -> String {
        "memory".to_owned()
    }

    fn counters(&self, _port: PortId) -> DeviceCounters {
        DeviceCounters::default()
    }

    fn buffers(&self) -> (u64, u64) {
        (0, 0)
    }
}
