//! A client or a server with a TCP stack, and a clock that tests turn.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
pub use smoltcp::socket::tcp::State;
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;

/// Ethernet header, so that packets are frames as the dataplane knows them.
const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

/// Frames in and out of a stack.
#[derive(Default)]
struct Wire {
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);
struct Sending<'w>(&'w mut VecDeque<Vec<u8>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = vec![0; len];
        let result = write(&mut packet);
        self.0.push_back([&ETHERNET[..], &packet].concat());
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1_500;
        capabilities
    }
}

/// One side: what it shall send, and what it got.
pub struct Side {
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    /// The connection.
    handle: SocketHandle,
    /// Of a server: sockets for who may become it.
    queue: Vec<SocketHandle>,
    talk: Talk,
    sent: usize,
    /// What it got.
    pub got: Vec<u8>,
    is_closed: bool,
}

/// What a side has to say.
#[derive(Clone, Debug)]
pub struct Talk {
    /// The bytes.
    pub to_send: Vec<u8>,
    /// It says nothing before it got something.
    pub waits: bool,
    /// Of its buffers, in bytes: windows close when these are full.
    pub buffer: usize,
    /// Whether its segments have timestamps.
    pub timestamps: bool,
}

fn ip([a, b, c, d]: [u8; 4]) -> IpAddress {
    IpAddress::v4(a, b, c, d)
}

/// Milliseconds, as a stack's timestamps: of each side its own.
fn timestamps() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static CLOCK: AtomicU32 = AtomicU32::new(1);
    CLOCK.fetch_add(1, Relaxed)
}

/// Connections that a server may have begun at the same time.
const QUEUE: usize = 3;

fn socket(talk: &Talk) -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; talk.buffer]);
    let mut socket = Socket::new(buffer(), buffer());
    if talk.timestamps {
        socket.set_tsval_generator(Some(timestamps));
    }
    socket
}

fn is_connected(state: State) -> bool {
    !matches!(state, State::Closed | State::Listen | State::SynSent | State::SynReceived)
}

impl Side {
    fn new(address: [u8; 4], seed: u64, talk: Talk) -> Self {
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(ip(address), 0)).expect("room for an address");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket(&talk));
        let queue = Vec::new();
        Self { interface, wire, sockets, handle, queue, talk, sent: 0, got: Vec::new(), is_closed: false }
    }

    /// One at `from` that connects to `to` at once.
    #[must_use]
    pub fn client(from: ([u8; 4], u16), to: ([u8; 4], u16), seed: u64, talk: Talk) -> Self {
        let mut side = Self::new(from.0, seed, talk);
        let socket = side.sockets.get_mut::<Socket>(side.handle);
        socket.connect(side.interface.context(), (ip(to.0), to.1), from.1).expect("a connection");
        side
    }

    /// One that listens, and talks to the first who connects: others may have begun to. At a port that nobody listens at it refuses.
    #[must_use]
    pub fn server(at: ([u8; 4], u16), seed: u64, talk: Talk) -> Self {
        let mut side = Self::new(at.0, seed, talk);
        let others = (1..QUEUE).map(|_| side.sockets.add(socket(&side.talk))).collect::<Vec<_>>();
        side.queue = std::iter::once(side.handle).chain(others).collect();
        for handle in &side.queue {
            side.sockets.get_mut::<Socket>(*handle).listen(at.1).expect("a listener");
        }
        side
    }

    /// Lets it receive, think and send; what it sent. It closes once all is sent and `enough` came.
    pub fn step(&mut self, now_millis: i64, arrived: Vec<Vec<u8>>, enough: usize) -> Vec<Vec<u8>> {
        self.wire.received.extend(arrived.into_iter().map(|frame| frame[ETHERNET.len()..].to_vec()));
        let now = Instant::from_millis(now_millis);
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
        self.talk(enough);
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
        self.wire.sent.drain(..).collect()
    }

    fn talk(&mut self, enough: usize) {
        let is_connected = |handle: &SocketHandle| is_connected(self.sockets.get::<Socket>(*handle).state());
        if let Some(first) = self.queue.iter().find(|handle| is_connected(handle)) {
            self.handle = *first;
            self.queue.clear();
        }
        let socket = self.sockets.get_mut::<Socket>(self.handle);
        while socket.can_recv() {
            let got = &mut self.got;
            let read = socket.recv(|bytes| {
                got.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            });
            if read.is_err() {
                break;
            }
        }
        let may_speak = !self.talk.waits || !self.got.is_empty();
        if may_speak && socket.can_send() && self.sent < self.talk.to_send.len() {
            self.sent += socket.send_slice(&self.talk.to_send[self.sent..]).unwrap_or(0);
        }
        if self.sent == self.talk.to_send.len() && self.got.len() >= enough && !self.is_closed && socket.may_send() {
            socket.close();
            self.is_closed = true;
        }
    }

    /// Whether nothing is left to say or to hear.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let state = self.sockets.get::<Socket>(self.handle).state();
        self.is_closed && matches!(state, State::Closed | State::TimeWait)
    }

    /// Whether it has, or had, a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        is_connected(self.state())
    }

    /// Of its socket.
    #[must_use]
    pub fn state(&self) -> State {
        self.sockets.get::<Socket>(self.handle).state()
    }
}
