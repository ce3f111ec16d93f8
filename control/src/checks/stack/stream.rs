//! A connection of the stack.

use super::{Inner, OpenStream, Subject, source};
use crate::checks::speak::Fault;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State};
use smoltcp::wire::IpAddress;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that wait to be read: an answer of usual size comes in one go.
const RECEIVE: usize = 16 << 10;
/// Bytes that wait to be sent: a request, or the first flight of TLS.
const SEND: usize = 4 << 10;

/// A connection.
pub(in crate::checks) struct Stream {
    inner: Rc<RefCell<Inner>>,
    handle: SocketHandle,
    port: u16,
    unreachable: Rc<Cell<bool>>,
}

impl Stream {
    /// Begins a connection.
    pub(super) fn open(shared: &Rc<RefCell<Inner>>, subject: &Subject) -> Result<Self, Fault> {
        let (local, remote) = (source(subject)?, subject.destination);
        let inner = &mut *shared.borrow_mut();
        let port = inner.take_port(subject.backend)?;
        let mut socket = Socket::new(SocketBuffer::new(vec![0; RECEIVE]), SocketBuffer::new(vec![0; SEND]));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let (to, from) = ((IpAddress::from(remote), subject.asked.port), (IpAddress::from(local), port));
        if let Err(error) = socket.connect(inner.interface.context(), to, from) {
            inner.ports.give_back(port);
            return Err(Fault::ours(&error));
        }
        let handle = inner.sockets.add(socket);
        let unreachable = Rc::new(Cell::new(false));
        let open = OpenStream { handle, local, remote, unreachable: Rc::clone(&unreachable) };
        inner.streams.insert(port, open);
        Ok(Self { inner: Rc::clone(shared), handle, port, unreachable })
    }

    /// Waits until the other side answered.
    pub(super) async fn established(&self) -> io::Result<()> {
        std::future::poll_fn(|context| {
            self.with(|socket| match socket.state() {
                State::SynSent | State::SynReceived => {
                    socket.register_recv_waker(context.waker());
                    Poll::Pending
                }
                State::Closed if self.unreachable.get() => Poll::Ready(Err(ErrorKind::HostUnreachable.into())),
                State::Closed => Poll::Ready(Err(ErrorKind::ConnectionRefused.into())),
                _ => Poll::Ready(Ok(())),
            })
        })
        .await
    }

    fn with<T>(&self, act: impl FnOnce(&mut Socket<'_>) -> T) -> T {
        act(self.inner.borrow_mut().sockets.get_mut::<Socket<'_>>(self.handle))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.with(|socket| match socket.recv_slice(buffer.initialize_unfilled()) {
            Ok(0) => {
                socket.register_recv_waker(context.waker());
                Poll::Pending
            }
            Ok(len) => {
                buffer.advance(len);
                Poll::Ready(Ok(()))
            }
            Err(RecvError::Finished) => Poll::Ready(Ok(())),
            Err(RecvError::InvalidState) => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|socket| match socket.send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            Ok(len) => Poll::Ready(Ok(len)),
            Err(_) => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
        })
    }

    /// What was written is on its way with the next turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|socket| socket.close());
        Poll::Ready(Ok(()))
    }
}

/// A probe that has its answer has no use for the rest: a reset frees the backend's side at once.
impl Drop for Stream {
    fn drop(&mut self) {
        self.with(|socket| socket.abort());
        let inner = &mut *self.inner.borrow_mut();
        inner.streams.remove(&self.port);
        inner.closing.push(self.handle);
        inner.ports.give_back(self.port);
    }
}
