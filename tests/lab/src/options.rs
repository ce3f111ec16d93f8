//! What a lab shall look like.

use crate::topology::Lab;
use anyhow::Result;

/// What a lab shall look like.
#[derive(Clone, Debug)]
pub struct LabOptions {
    pub(crate) backends: u8,
    pub(crate) queues: u32,
    pub(crate) two_armed: bool,
    pub(crate) segment_mtu: u32,
    pub(crate) client_addresses: u8,
    pub(crate) exclusive: bool,
    pub(crate) name: Option<String>,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            backends: 3,
            queues: 1,
            two_armed: false,
            segment_mtu: 1600,
            client_addresses: 1,
            exclusive: false,
            name: None,
        }
    }
}

impl LabOptions {
    /// Three backends, one queue, one-armed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of backends, at most 200.
    #[must_use]
    pub fn backends(mut self, count: u8) -> Self {
        self.backends = count;
        self
    }

    /// Receive and transmit queues of the balancer's interfaces.
    #[must_use]
    pub fn queues(mut self, count: u32) -> Self {
        self.queues = count;
        self
    }

    /// A second interface of the balancer: `gw1` on the segment, `gw0` on a link of its own to the router.
    #[must_use]
    pub fn two_armed(mut self) -> Self {
        self.two_armed = true;
        self
    }

    /// MTU of the segment in bytes. 1600 leaves room for tunnel headers around the clients' 1500.
    #[must_use]
    pub fn segment_mtu(mut self, mtu: u32) -> Self {
        self.segment_mtu = mtu;
        self
    }

    /// Addresses of the client in each family.
    #[must_use]
    pub fn client_addresses(mut self, count: u8) -> Self {
        self.client_addresses = count;
        self
    }

    /// Waits until no other lab of a test runs on this machine, and keeps others waiting: for tests with load.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// A name of its own instead of one that [`crate::remove_leftovers`] knows.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Builds the network.
    pub fn build(self) -> Result<Lab> {
        Lab::build(&self)
    }
}
