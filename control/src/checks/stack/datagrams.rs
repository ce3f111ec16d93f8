//! Datagrams and echoes of the stack: what of them there is to know fits into their port.

use super::wire::{self, Datagram};
use super::{Inner, Subject, source};
use crate::checks::speak::Fault;
use crate::health::Reason;
use crate::health::answer::Flow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Answers that wait for the conversation; more than one are from strangers, or doubled on the way.
const WAITING: usize = 8;
/// What an echo request carries.
const ECHO: [u8; 16] = *b"guideway health ";

/// What arrived for one port.
pub(super) struct Mailbox {
    local: IpAddr,
    remote: IpAddr,
    /// 0 for echoes.
    remote_port: u16,
    arrived: VecDeque<Vec<u8>>,
    unreachable: bool,
    waker: Option<Waker>,
}

impl Mailbox {
    pub(super) fn deliver(&mut self, datagram: &Datagram<'_>) {
        let ours = (datagram.to, datagram.from, datagram.from_port) == (self.local, self.remote, self.remote_port);
        if ours && self.arrived.len() < WAITING {
            self.arrived.push_back(datagram.payload.to_vec());
            self.wake();
        }
    }

    pub(super) fn unreachable(&mut self, flow: &Flow) {
        if (flow.local, flow.remote) == (self.local, self.remote) {
            self.unreachable = true;
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A port for datagrams to one backend.
pub(in crate::checks) struct Datagrams {
    inner: Rc<RefCell<Inner>>,
    subject: Subject,
    local: IpAddr,
    port: u16,
}

impl Datagrams {
    pub(super) fn open(shared: &Rc<RefCell<Inner>>, subject: &Subject) -> Result<Self, Fault> {
        let local = source(subject)?;
        let inner = &mut *shared.borrow_mut();
        let port = inner.take_port(subject.backend)?;
        let mailbox = Mailbox {
            local,
            remote: subject.destination,
            remote_port: subject.asked.port,
            arrived: VecDeque::new(),
            unreachable: false,
            waker: None,
        };
        inner.mailboxes.insert(port, mailbox);
        Ok(Self { inner: Rc::clone(shared), subject: subject.clone(), local, port })
    }

    pub(in crate::checks) fn send(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let to = (self.subject.destination, self.subject.asked.port);
        self.emit(wire::udp((self.local, self.port), to, payload))
    }

    /// An echo request and its reply.
    pub(super) async fn ping(&mut self) -> Result<(), Fault> {
        self.emit(wire::echo_request(self.local, self.subject.destination, self.port, &ECHO))?;
        while self.receive().await? != ECHO {}
        Ok(())
    }

    fn emit(&self, packet: Option<Vec<u8>>) -> Result<(), Fault> {
        let packet = packet.ok_or_else(|| Fault::ours(&"source and destination are of two families"))?;
        if self.inner.borrow_mut().path.send(self.subject.backend, &packet) {
            Ok(())
        } else {
            Err(Fault::ours(&"the ring to the real-time thread is full"))
        }
    }

    pub(in crate::checks) async fn receive(&mut self) -> Result<Vec<u8>, Fault> {
        std::future::poll_fn(|context| {
            let inner = &mut *self.inner.borrow_mut();
            let Some(mailbox) = inner.mailboxes.get_mut(&self.port) else { return Poll::Pending };
            if let Some(datagram) = mailbox.arrived.pop_front() {
                return Poll::Ready(Ok(datagram));
            }
            if mailbox.unreachable {
                return Poll::Ready(Err(Fault::of(Reason::Unreachable)));
            }
            mailbox.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        let inner = &mut *self.inner.borrow_mut();
        inner.mailboxes.remove(&self.port);
        inner.ports.give_back(self.port);
    }
}
