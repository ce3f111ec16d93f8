//! A small TCP/IP stack whose packets take the way of traffic: smoltcp for TCP, and datagrams beside it.
//!
//! Everything is polled in batches of a millisecond while a conversation is open, and not at all while none is. Each
//! conversation has a port of its own, above those of the prober, by which its packets find their backend, and its answers
//! find it. Echo requests have an identifier in the place of a port.

mod datagrams;
mod ports;
mod stream;
mod wire;

pub(super) use datagrams::Datagrams;
pub(super) use stream::Stream;

use super::path::StackPath;
use super::speak::Fault;
use super::subject::Subject;
use crate::health::answer::{self, Flow};
use datagrams::Mailbox;
use guideway_dataplane::ids::BackendId;
use ports::Ports;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use wire::{Datagram, Wire};

/// From batch to batch while a conversation is open.
const TURN: Duration = Duration::from_millis(1);
/// Our side's own addresses and routers, which never appear on a packet: conversations name their source.
const NOBODY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
const NOBODY_V6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1);

/// The stack. Its conversations are held on one thread.
pub(super) struct Stack {
    inner: Rc<RefCell<Inner>>,
    work: Rc<Notify>,
    started: std::time::Instant,
}

/// What a conversation and the driver share.
struct Inner {
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    path: StackPath,
    ports: Ports,
    /// Connections by port.
    streams: HashMap<u16, OpenStream>,
    /// Sockets that were given up and still owe the other side a reset.
    closing: Vec<SocketHandle>,
    /// Datagrams and echoes by port.
    mailboxes: HashMap<u16, Mailbox>,
    work: Rc<Notify>,
}

struct OpenStream {
    handle: SocketHandle,
    local: IpAddr,
    remote: IpAddr,
    /// An ICMP error said that it cannot be held.
    unreachable: Rc<Cell<bool>>,
}

impl Stack {
    pub(super) fn new(path: StackPath) -> Self {
        let mut wire = Wire::default();
        let interface = interface(&mut wire);
        let work = Rc::new(Notify::new());
        let inner = Inner {
            interface,
            wire,
            sockets: SocketSet::new(Vec::new()),
            path,
            ports: Ports::default(),
            streams: HashMap::new(),
            closing: Vec::new(),
            mailboxes: HashMap::new(),
            work: Rc::clone(&work),
        };
        Self { inner: Rc::new(RefCell::new(inner)), work, started: std::time::Instant::now() }
    }

    /// Moves packets for ever.
    pub(super) async fn drive(&self) {
        loop {
            if self.inner.borrow().is_idle() {
                self.work.notified().await;
            }
            let now = Instant::from_micros(i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX));
            self.inner.borrow_mut().turn(now);
            tokio::time::sleep(TURN).await;
        }
    }

    /// For how long some worker did not poll, since the start.
    pub(super) fn stalled(&self) -> Duration {
        self.inner.borrow().path.stalled()
    }

    /// Opens a connection.
    pub(super) async fn connect(&self, subject: &Subject) -> Result<Stream, Fault> {
        let stream = Stream::open(&self.inner, subject)?;
        stream.established().await?;
        Ok(stream)
    }

    /// A port for datagrams.
    pub(super) fn datagrams(&self, subject: &Subject) -> Result<Datagrams, Fault> {
        Datagrams::open(&self.inner, subject)
    }

    /// An echo request and its reply.
    pub(super) async fn ping(&self, subject: &Subject) -> Result<(), Fault> {
        self.datagrams(subject)?.ping().await
    }
}

/// An interface of no network: it takes whatever it is given, and sends whatever is asked of it.
fn interface(wire: &mut Wire) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    // Sequence numbers begin where nobody guesses. Without a source of randomness they begin where the clock is.
    let mut seed = [0; 8];
    config.random_seed = match getrandom::fill(&mut seed) {
        Ok(()) => u64::from_ne_bytes(seed),
        Err(_) => {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
        }
    };
    let mut interface = Interface::new(config, wire, Instant::from_micros(0));
    interface.update_ip_addrs(|addresses| {
        // Two fit: the list holds that many.
        let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(NOBODY_V4), 32));
        let _ = addresses.push(IpCidr::new(IpAddress::Ipv6(NOBODY_V6), 128));
    });
    // The same holds for the routes.
    let _ = interface.routes_mut().add_default_ipv4_route(NOBODY_V4);
    let _ = interface.routes_mut().add_default_ipv6_route(NOBODY_V6);
    interface.set_any_ip(true);
    interface
}

impl Inner {
    fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.closing.is_empty() && self.mailboxes.is_empty()
    }

    /// One batch: what came, what the sockets do about it, what is to be sent.
    fn turn(&mut self, now: Instant) {
        let mut packet = Vec::new();
        while self.path.receive(&mut packet) {
            self.receive(&packet);
        }
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
        for handle in self.closing.drain(..) {
            self.sockets.remove(handle);
        }
        for packet in self.wire.outgoing.drain(..) {
            // A reset for a connection that is gone takes the way that the connection had.
            let backend = wire::source_port(&packet).and_then(|port| self.ports.owner(port));
            if let Some(backend) = backend {
                // What does not fit is lost as on any other way, and sent again.
                let _ = self.path.send(backend, &packet);
            }
        }
    }

    fn receive(&mut self, packet: &[u8]) {
        if let Some(flow) = answer::unreachable(packet) {
            return self.unreachable(&flow);
        }
        match wire::datagram(packet) {
            Some(datagram) => self.deliver(&datagram),
            None => self.wire.incoming.push_back(packet.to_vec()),
        }
    }

    fn deliver(&mut self, datagram: &Datagram<'_>) {
        if let Some(mailbox) = self.mailboxes.get_mut(&datagram.to_port) {
            mailbox.deliver(datagram);
        }
    }

    fn unreachable(&mut self, flow: &Flow) {
        if let Some(mailbox) = self.mailboxes.get_mut(&flow.local_port) {
            mailbox.unreachable(flow);
        }
        let same = |open: &&OpenStream| (open.local, open.remote) == (flow.local, flow.remote);
        if let Some(open) = self.streams.get(&flow.local_port).filter(same) {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(open.handle);
            // Of an established connection it may be a passing trouble (RFC 1122, section 4.2.3.9).
            if socket.state() == tcp::State::SynSent {
                open.unreachable.set(true);
                socket.abort();
            }
        }
    }

    /// A port for a conversation with a backend.
    fn take_port(&mut self, backend: BackendId) -> Result<u16, Fault> {
        let port = self.ports.take(backend).ok_or_else(|| Fault::ours(&"no port is free"))?;
        self.work.notify_one();
        Ok(port)
    }
}

/// The source of a conversation.
fn source(subject: &Subject) -> Result<IpAddr, Fault> {
    subject.source.ok_or_else(|| Fault::ours(&"no own address of its family"))
}
