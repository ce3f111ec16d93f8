//! What the loop runs on: a device that gives empty buffers or packets, and takes everything back.

use crate::generator::Generator;
use crate::traffic::Traffic;
use crate::window::Feed;
use guideway_dataplane::port::Port;
use guideway_dataplane::wire::ethernet::Mac;
use std::marker::PhantomData;
use std::sync::Arc;

/// A kind of null device that queues can be had of.
///
/// Its receive queues give buffers whose contents mean nothing, as many as fit into a burst; its transmit queues take
/// whatever they are given and reuse the buffers.
pub trait Device {
    /// Packets and queues.
    type Port: Port;

    /// A pair of queues that share buffers with nobody else's hot path.
    ///
    /// # Errors
    ///
    /// What keeps the device from opening them, in words for an operator.
    fn open(&mut self) -> Result<Queues<Self::Port>, DeviceError>;

    /// A pair of queues of which the first gives packets of `traffic`, by itself or with the help of what it comes with.
    ///
    /// # Errors
    ///
    /// As for [`Device::open`].
    fn source(&mut self, traffic: Traffic) -> Result<Source<Self::Port>, DeviceError> {
        Ok(Source { queues: self.open()?, traffic: Some(traffic), mac: None })
    }

    /// Where the packets of [`Device::source`] come from.
    fn feed(&self) -> Feed {
        Feed::Own
    }

    /// What is measured on, for the report.
    fn describe(&self) -> String;
}

/// A receive and a transmit queue.
pub struct Queues<P: Port> {
    /// Gives empty buffers.
    pub rx: P::Rx,
    /// Takes them back.
    pub tx: P::Tx,
    /// Where the worker takes buffers of its own from.
    pub pool: Arc<P::Pool>,
}

/// Queues, and the traffic to write into what the first one gives, if that is empty buffers.
pub struct Source<P: Port> {
    /// The queues.
    pub queues: Queues<P>,
    /// What to write; `None` if there are packets in the buffers.
    pub traffic: Option<Traffic>,
    /// The address that frames are sent to, if it is not the one that traffic is written to.
    pub mac: Option<Mac>,
}

/// Why a device did not open.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DeviceError(pub String);

/// A null device with a traffic source in front of its receive queue: what the worker under test runs on.
#[derive(Debug)]
pub struct Generated<P>(PhantomData<P>);

impl<P: Port> Port for Generated<P> {
    type Packet = P::Packet;
    type Rx = Generator<P::Rx>;
    type Tx = P::Tx;
    type Pool = P::Pool;
}
