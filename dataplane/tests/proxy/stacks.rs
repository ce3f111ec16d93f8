//! A client and a server with a TCP stack each (smoltcp), and a clock that tests turn.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
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
    handle: SocketHandle,
    to_send: Vec<u8>,
    sent: usize,
    pub got: Vec<u8>,
    /// It says nothing before it got something.
    waits: bool,
    is_closed: bool,
}

/// Milliseconds, as a stack's timestamps: of each side its own.
fn timestamps() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static CLOCK: AtomicU32 = AtomicU32::new(1);
    CLOCK.fetch_add(1, Relaxed)
}

impl Side {
    fn new(address: [u8; 4], seed: u64, buffer: usize, (to_send, waits): (Vec<u8>, bool)) -> Self {
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        let [a, b, c, d] = address;
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::v4(a, b, c, d), 0)).expect("room for an address");
        });
        let buffer = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_tsval_generator(Some(timestamps));
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        Self { interface, wire, sockets, handle, to_send, sent: 0, got: Vec::new(), waits, is_closed: false }
    }

    /// Connects from `port`.
    pub fn client(port: u16, seed: u64, buffer: usize, talk: (Vec<u8>, bool)) -> Self {
        let mut side = Self::new([192, 0, 2, 7], seed, buffer, talk);
        let socket = side.sockets.get_mut::<Socket>(side.handle);
        let service = (IpAddress::v4(203, 0, 113, 10), 80);
        socket.connect(side.interface.context(), service, port).expect("a connection");
        side
    }

    /// Listens.
    pub fn server(seed: u64, buffer: usize, talk: (Vec<u8>, bool)) -> Self {
        let mut side = Self::new([203, 0, 113, 10], seed, buffer, talk);
        side.sockets.get_mut::<Socket>(side.handle).listen(80).expect("a listener");
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
        let may_speak = !self.waits || !self.got.is_empty();
        if may_speak && socket.can_send() && self.sent < self.to_send.len() {
            self.sent += socket.send_slice(&self.to_send[self.sent..]).unwrap_or(0);
        }
        if self.sent == self.to_send.len() && self.got.len() >= enough && !self.is_closed && socket.may_send() {
            socket.close();
            self.is_closed = true;
        }
    }

    /// Whether nothing is left to say or to hear.
    pub fn is_over(&self) -> bool {
        let state = self.sockets.get::<Socket>(self.handle).state();
        self.is_closed && matches!(state, State::Closed | State::TimeWait)
    }

    pub fn state(&self) -> State {
        self.sockets.get::<Socket>(self.handle).state()
    }
}
