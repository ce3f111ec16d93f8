//! A worker's sleep in the kernel: epoll(7) over what its queues and the control side wake it by.

use crate::port::RxInterrupt;
use guideway_dataplane::doorbell::Bell;
use guideway_dataplane::idle;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

/// Descriptors that one wake-up tells of; the next one tells of the others.
const EVENTS: usize = 16;
/// The mark of the bell among the descriptors; those of queues are counted from 0.
const BELL: u64 = u64::MAX;
/// A rest while descriptors report nothing but errors: the next sleep would end at once.
const ERROR_REST: Duration = Duration::from_millis(1);
/// Where the kernel counts how long the calling thread waited for a core (Documentation/scheduler/sched-stats.rst of
/// Linux).
const SCHEDSTAT: &str = "/proc/thread-self/schedstat";

/// Ends the sleep of one worker: an eventfd(2).
#[derive(Clone, Debug)]
pub struct EventBell(Arc<EventFd>);

impl EventBell {
    /// A bell that has not rung.
    ///
    /// # Errors
    ///
    /// What the system says if it gives no descriptor.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(Arc::new(EventFd::from_value_and_flags(0, flags)?)))
    }
}

impl Bell for EventBell {
    fn ring(&self) {
        // Fails only if it has rung some 2^64 times.
        let _ = self.0.write(1);
    }
}

/// Sleeps until a queue has packets or the bell rings.
#[derive(Debug)]
pub struct Sleeper {
    epoll: Epoll,
    bell: EventBell,
    queues: Vec<RxInterrupt>,
    /// Opened by the thread that sleeps; `None` before its first sleep, and where there is no such file.
    schedstat: Option<File>,
    begun: bool,
}

impl Sleeper {
    /// Over the queues of one worker.
    ///
    /// # Errors
    ///
    /// What the system says if it refuses to watch one of them.
    pub fn new(bell: EventBell, queues: Vec<RxInterrupt>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*bell.0, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        for (index, queue) in (0..).zip(&queues) {
            epoll.add(queue.fd(), EpollEvent::new(EpollFlags::EPOLLIN, index))?;
        }
        Ok(Self { epoll, bell, queues, schedstat: None, begun: false })
    }

    /// How long the calling thread has waited for a core so far; zero where the kernel does not tell.
    fn waited(&self) -> Duration {
        let mut text = [0; 64];
        let length = self.schedstat.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        Duration::from_nanos(waited(&text[..length]).unwrap_or(0))
    }

    /// Takes note of what ended a sleep. Whether all of it were errors.
    fn acknowledge(&self, events: &[EpollEvent]) -> bool {
        let mut only_errors = !events.is_empty();
        for event in events {
            let readable = event.events().contains(EpollFlags::EPOLLIN);
            only_errors &= !readable;
            match usize::try_from(event.data()).ok().and_then(|index| self.queues.get(index)) {
                Some(queue) if readable => queue.acknowledge(),
                Some(queue) => queue.clear_error(),
                // A bell that another sleep heard already is no harm.
                None => drop(self.bell.0.read()),
            }
        }
        only_errors
    }
}

/// The second number: nanoseconds that the thread waited while it could have run.
fn waited(schedstat: &[u8]) -> Option<u64> {
    std::str::from_utf8(schedstat).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

impl idle::Sleeper for Sleeper {
    fn arm(&mut self) {
        self.queues.iter().for_each(RxInterrupt::enable);
    }

    fn sleep(&mut self, longest: Duration) -> Duration {
        if !self.begun {
            self.begun = true;
            self.schedstat = File::open(SCHEDSTAT).ok();
        }
        let before = self.waited();
        let mut events = [EpollEvent::empty(); EVENTS];
        let limit = EpollTimeout::try_from(longest).unwrap_or(EpollTimeout::ZERO);
        // A signal ends a sleep too: a reason to look round is no harm.
        let count = self.epoll.wait(&mut events, limit).unwrap_or(0);
        let late = self.waited().saturating_sub(before);
        if self.acknowledge(&events[..count]) {
            std::thread::sleep(ERROR_REST);
        }
        late
    }

    fn disarm(&mut self) {
        self.queues.iter().for_each(RxInterrupt::disable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_dataplane::idle::Sleeper as _;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn reads_how_long_a_thread_waited() {
        assert_eq!(waited(b"1026391 4711 12\n"), Some(4_711));
        assert_eq!(waited(b"1026391"), None);
        assert_eq!(waited(b"\xff \xff"), None);
    }

    #[test]
    fn a_bell_ends_the_sleep_under_way_or_the_next_one_and_no_other() {
        let bell = EventBell::new().expect("a descriptor");
        let mut sleeper = Sleeper::new(bell.clone(), Vec::new()).expect("a descriptor");
        bell.ring();
        bell.ring();
        let start = Instant::now();
        sleeper.sleep(LONG);
        assert!(start.elapsed() < LONG, "it had rung before");
        let start = Instant::now();
        sleeper.sleep(Duration::from_millis(30));
        assert!(start.elapsed() >= Duration::from_millis(29), "it has not rung since");
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                bell.ring();
            });
            sleeper.sleep(LONG);
        });
        assert!(start.elapsed() < LONG);
    }
}
