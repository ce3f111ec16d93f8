//! A link that loses, doubles and reorders TCP segments: for kernels without a queueing discipline that does.

use crate::random::Random;
use crate::topology::Lab;
use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Room for any frame of the lab.
const LARGEST_FRAME: usize = 16384;
/// The longest time that a delayed frame is behind those that came after it.
const LONGEST_DELAY: Duration = Duration::from_millis(10);
/// How long the end of a link may take.
const STOP: Duration = Duration::from_millis(50);
/// The protocol number of TCP.
const TCP: u8 = 6;

/// What befalls TCP segments, each direction on its own: shares from 0 to 1. All other frames pass as they are, since
/// a neighbour that is not found is another matter.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Of all segments, those that are lost.
    pub lost: f64,
    /// Of the others, those that come twice.
    pub doubled: f64,
    /// Of all copies, those that come up to 10 ms late, behind later ones.
    pub delayed: f64,
    /// What chance begins with: the same segments meet the same fate.
    pub seed: u64,
}

/// What befell the segments of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Segments that came to the link.
    pub segments: u64,
    /// Of these, those that were lost.
    pub lost: u64,
    /// Of these, those that came twice.
    pub doubled: u64,
    /// Copies that came late.
    pub delayed: u64,
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, lost, doubled, delayed } = self;
        write!(f, "{segments} segments, {lost} lost, {doubled} doubled, {delayed} delayed")
    }
}

#[derive(Debug, Default)]
struct Counters {
    segments: AtomicU64,
    lost: AtomicU64,
    doubled: AtomicU64,
    delayed: AtomicU64,
}

/// A faulty link in place of a port of the bridge; dropped means cut.
#[derive(Debug)]
pub struct FaultyLink {
    over: Arc<AtomicBool>,
    counters: [Arc<Counters>; 2],
    threads: Vec<JoinHandle<Result<()>>>,
}

impl FaultyLink {
    /// Puts the link between the segment's bridge and one of its ports: `gw` is the balancer's, so that with one arm all
    /// that it receives and all that it sends passes here, from and to clients and backends.
    pub fn insert(lab: &Lab, port: &str, faults: Faults) -> Result<Self> {
        let (bridge, inner, outer) = (format!("{port}.br"), format!("{port}.in"), format!("{port}.out"));
        lab.add_bridge(&bridge, lab.segment_mtu())?;
        let open = |name: &str| lab.segment().enter(|| open_tap(name, lab.segment_mtu()))?.map(Arc::new);
        let ends = [open(&inner)?, open(&outer)?];
        lab.segment().ip(&format!(
            "link set {inner} master {bridge}\nlink set {inner} up\nlink set {outer} master br0\nlink set {outer} up\n\
             link set {port} master {bridge}\n"
        ))?;
        let over = Arc::new(AtomicBool::new(false));
        let counters = [Arc::default(), Arc::default()];
        let directions = [(&ends[0], &ends[1], faults.seed), (&ends[1], &ends[0], !faults.seed)];
        let threads = directions.into_iter().zip(&counters).map(|((from, to, seed), counters)| {
            let direction = Direction {
                from: Arc::clone(from),
                to: Arc::clone(to),
                fate: Fate { faults, random: Random::new(seed), counters: Arc::clone(counters) },
                held: BinaryHeap::new(),
            };
            let over = Arc::clone(&over);
            std::thread::spawn(move || direction.carry(&over))
        });
        let threads = threads.collect();
        Ok(Self { over, counters, threads })
    }

    /// What befell segments so far: those that came from the port, and those to it.
    pub fn counts(&self) -> [FaultCounts; 2] {
        self.counters.each_ref().map(|counters| FaultCounts {
            segments: counters.segments.load(Relaxed),
            lost: counters.lost.load(Relaxed),
            doubled: counters.doubled.load(Relaxed),
            delayed: counters.delayed.load(Relaxed),
        })
    }

    /// Cuts the link; what befell segments. An error if it did not carry frames to the end.
    pub fn stop(mut self) -> Result<[FaultCounts; 2]> {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| anyhow!("a thread of a faulty link panicked"))??;
        }
        Ok(self.counts())
    }
}

impl Drop for FaultyLink {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // What went wrong in it is told by `stop` only.
            let _ = thread.join();
        }
    }
}

/// How often a segment arrives, and how late.
struct Fate {
    faults: Faults,
    random: Random,
    counters: Arc<Counters>,
}

impl Fate {
    /// The delays of all copies of the next segment.
    fn delays(&mut self) -> impl Iterator<Item = Duration> {
        let counters = &self.counters;
        counters.segments.fetch_add(1, Relaxed);
        let copies = if self.random.fraction() < self.faults.lost {
            counters.lost.fetch_add(1, Relaxed);
            0
        } else if self.random.fraction() < self.faults.doubled {
            counters.doubled.fetch_add(1, Relaxed);
            2
        } else {
            1
        };
        (0..copies).map(|_| {
            if self.random.fraction() >= self.faults.delayed {
                return Duration::ZERO;
            }
            self.counters.delayed.fetch_add(1, Relaxed);
            LONGEST_DELAY.mul_f64(self.random.fraction())
        })
    }
}

/// Frames on their way from one end to the other.
struct Direction {
    from: Arc<SyncDevice>,
    to: Arc<SyncDevice>,
    fate: Fate,
    held: BinaryHeap<Reverse<(Instant, Vec<u8>)>>,
}

impl Direction {
    fn carry(mut self, over: &AtomicBool) -> Result<()> {
        let mut buffer = vec![0; LARGEST_FRAME];
        while !over.load(Relaxed) {
            self.wait()?;
            loop {
                match self.from.recv(&mut buffer) {
                    Ok(length) => self.take(&buffer[..length])?,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("cannot read from a TAP device"),
                }
                self.release()?;
            }
            self.release()?;
        }
        Ok(())
    }

    /// Until a frame comes, the next one held is due, or it is time to look whether all is over.
    fn wait(&self) -> Result<()> {
        let due = self.held.peek().map(|Reverse((due, _))| due.saturating_duration_since(Instant::now()));
        // Rounded up: a wait that ends before the frame is due would only be repeated.
        let wait = due.map_or(STOP, |due| due.min(STOP) + Duration::from_millis(1));
        let mut ends = [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ends, PollTimeout::try_from(wait).context("a wait too long")?) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => bail!("cannot wait for a TAP device: {error}"),
        }
    }

    fn take(&mut self, frame: &[u8]) -> Result<()> {
        if !is_tcp(frame) {
            return send(&self.to, frame);
        }
        for delay in self.fate.delays() {
            if delay.is_zero() {
                send(&self.to, frame)?;
            } else {
                self.held.push(Reverse((Instant::now() + delay, frame.to_vec())));
            }
        }
        Ok(())
    }

    /// Sends those that are due.
    fn release(&mut self) -> Result<()> {
        let now = Instant::now();
        while let Some(Reverse((_, frame))) = self.held.peek().filter(|Reverse((due, _))| *due <= now) {
            send(&self.to, frame)?;
            self.held.pop();
        }
        Ok(())
    }
}

fn send(to: &SyncDevice, frame: &[u8]) -> Result<()> {
    let sent = to.send(frame).context("cannot send from a TAP device")?;
    ensure!(sent == frame.len(), "only {sent} bytes of a frame of {} were sent", frame.len());
    Ok(())
}

/// Whether a frame has no tag and carries a TCP segment, in IPv6 directly behind its header.
fn is_tcp(frame: &[u8]) -> bool {
    let protocol = match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.get(14 + 9),
        Some([0x86, 0xdd]) => frame.get(14 + 6),
        _ => None,
    };
    protocol == Some(&TCP)
}

fn open_tap(name: &str, mtu: u32) -> Result<SyncDevice> {
    let mtu = u16::try_from(mtu).context("an MTU beyond 16 bits")?;
    let device = DeviceBuilder::new().name(name).layer(Layer::L2).mtu(mtu).build_sync();
    let device = device.with_context(|| format!("cannot create the TAP device {name}"))?;
    device.set_nonblocking(true).context("cannot make a TAP device return at once")?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::{Counters, Fate, Faults, LONGEST_DELAY, is_tcp};
    use crate::random::Random;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    fn fates(seed: u64) -> (Vec<Vec<Duration>>, Arc<Counters>) {
        let counters = Arc::<Counters>::default();
        let faults = Faults { lost: 0.05, doubled: 0.1, delayed: 0.2, seed };
        let mut fate = Fate { faults, random: Random::new(seed), counters: Arc::clone(&counters) };
        ((0..10_000).map(|_| fate.delays().collect()).collect(), counters)
    }

    #[test]
    fn segments_are_lost_doubled_and_delayed_as_often_as_asked_for() {
        let (fates, counters) = fates(1);
        let copies = |count: usize| fates.iter().filter(|delays| delays.len() == count).count();
        let late = fates.iter().flatten().filter(|delay| !delay.is_zero()).count();
        assert!((400..600).contains(&copies(0)), "{} lost", copies(0));
        assert!((800..1100).contains(&copies(2)), "{} doubled", copies(2));
        assert!((1900..2300).contains(&late), "{late} delayed");
        assert!(fates.iter().flatten().all(|delay| *delay < LONGEST_DELAY));
        let counts = [&counters.segments, &counters.lost, &counters.doubled, &counters.delayed];
        let counts = counts.map(|count| count.load(Relaxed) as usize);
        assert_eq!(counts, [10_000, copies(0), copies(2), late]);
    }

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        assert_eq!(fates(7).0, fates(7).0);
        assert_ne!(fates(7).0, fates(8).0);
    }

    #[test]
    fn only_tcp_suffers() {
        let frame = |kind: [u8; 2], at: usize, protocol: u8| {
            let mut frame = vec![0; 60];
            frame[12..14].copy_from_slice(&kind);
            frame[at] = protocol;
            frame
        };
        assert!(is_tcp(&frame([0x08, 0x00], 23, 6)) && is_tcp(&frame([0x86, 0xdd], 20, 6)));
        assert!(!is_tcp(&frame([0x08, 0x00], 23, 17)) && !is_tcp(&frame([0x86, 0xdd], 20, 58)));
        assert!(!is_tcp(&frame([0x08, 0x06], 23, 6)), "ARP");
        assert!(!is_tcp(&[0; 12]), "cut");
    }
}
