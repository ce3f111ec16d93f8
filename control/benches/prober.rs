//! What a probe costs: 10,000 backends every 20 ms, polled once a millisecond of virtual time.
//!
//! The time is that of one probe, averaged over whole turns of the loop; making up the answers is not measured.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use guideway_config::model::CheckTimes;
use guideway_control::health::{Probe, Prober, Target};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const BACKENDS: u16 = 10_000;
const TURN: Duration = Duration::from_millis(1);
const RTT: Duration = Duration::from_micros(100);

/// A prober with all its backends, and the answers that it is owed.
struct Loop {
    targets: Vec<Target>,
    prober: Prober,
    now: Nanos,
    /// Where the TCP header starts.
    tcp: usize,
    answers: Vec<Vec<u8>>,
    count: usize,
}

impl Loop {
    fn new(destination: &str, source: &str) -> Self {
        let (destination, source): (IpAddr, IpAddr) = (destination.parse().unwrap(), source.parse().unwrap());
        let check = CheckTimes {
            interval: Duration::from_millis(20),
            fast_interval: Duration::from_millis(10),
            timeout: Duration::from_millis(20),
            rise: 2,
            fall: 3,
        };
        let targets: Vec<_> = (0..BACKENDS)
            .map(|id| Target { backend: BackendId(id), destination, port: 80, source, check, number: 0 })
            .collect();
        let mut prober = Prober::new(*b"a secret of ours");
        let now = Nanos(1_000_000_000);
        prober.set_targets(&targets, now).unwrap();
        let tcp = if destination.is_ipv4() { 20 } else { 40 };
        Self { targets, prober, now, tcp, answers: Vec::new(), count: 0 }
    }

    /// A turn without the answers; the time of the poll.
    fn poll(&mut self) -> Duration {
        self.now = self.now + TURN;
        let (tcp, answers) = (self.tcp, &mut self.answers);
        let mut count = 0;
        let mut emit = |probe: Probe<'_>| {
            if probe.packet[tcp + 13] == 0x02 {
                if count == answers.len() {
                    answers.push(Vec::new());
                }
                let answer = &mut answers[count];
                answer.clear();
                answer.extend_from_slice(probe.packet);
                count += 1;
            }
        };
        let start = Instant::now();
        self.prober.poll(self.now, None, &mut emit);
        let took = start.elapsed();
        self.count = count;
        took
    }

    /// Turns the SYNs of the last poll into their SYN-ACKs.
    fn answer(&mut self) {
        let tcp = self.tcp;
        for packet in &mut self.answers[..self.count] {
            let (addresses, len) = if tcp == 20 { (12, 4) } else { (8, 16) };
            let (source, destination) = packet[addresses..addresses + 2 * len].split_at_mut(len);
            source.swap_with_slice(destination);
            let header = &mut packet[tcp..];
            header[..4].rotate_left(2);
            let sequence = u32::from_be_bytes(header[4..8].try_into().unwrap());
            header[8..12].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes());
            header[13] = 0x12;
        }
    }

    /// Hands the answers over; the time of that.
    fn receive(&mut self) -> Duration {
        let at = self.now + RTT;
        let start = Instant::now();
        for packet in &self.answers[..self.count] {
            black_box(self.prober.receive(at, packet, &mut |probe| {
                black_box(probe);
            }));
        }
        start.elapsed()
    }
}

/// Which part is measured.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Send,
    Receive,
    RoundTrip,
    /// No backend answers: resets, expiry, and no receive.
    Silence,
    /// SYN-ACKs with wrong numbers.
    Forged,
}

/// The time of `probes` probes, measured over at least as many.
fn measure(world: &mut Loop, part: Part, probes: u64) -> Duration {
    let (mut time, mut count) = (Duration::ZERO, 0);
    while count < probes {
        let poll = world.poll();
        count += world.count as u64;
        if part == Part::Silence {
            time += poll;
            continue;
        }
        world.answer();
        if part == Part::Forged {
            let tcp = world.tcp;
            world.answers.iter_mut().for_each(|packet| packet[tcp + 9] ^= 0x55);
        }
        let receive = world.receive();
        time += match part {
            Part::Send => poll,
            Part::RoundTrip => poll + receive,
            _ => receive,
        };
    }
    time.mul_f64(probes as f64 / count as f64)
}

fn prober(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prober");
    group.throughput(Throughput::Elements(1));
    for (family, destination, source) in [("v4", "203.0.113.10", "10.0.0.1"), ("v6", "2001:db8::10", "fd00::1")] {
        for (name, part) in [
            ("send", Part::Send),
            ("receive", Part::Receive),
            ("round_trip", Part::RoundTrip),
            ("silence", Part::Silence),
            ("forged", Part::Forged),
        ] {
            let mut world = Loop::new(destination, source);
            // A second of virtual time: up and settled, queues grown.
            measure(&mut world, if part == Part::Silence { part } else { Part::RoundTrip }, 500_000);
            group.bench_function(format!("{name}/{family}"), |bencher| {
                bencher.iter_custom(|probes| measure(&mut world, part, probes));
            });
            if part == Part::RoundTrip {
                let counters = world.prober.counters();
                assert_eq!((counters.timeouts, counters.void, counters.skipped), (0, 0, 0), "a clean run");
                assert!(counters.answered > 500_000);
            }
        }
    }
    group.throughput(Throughput::Elements(u64::from(BACKENDS)));
    let mut world = Loop::new("203.0.113.10", "10.0.0.1");
    measure(&mut world, Part::RoundTrip, 500_000);
    group.bench_function("same_targets", |bencher| {
        bencher.iter(|| world.prober.set_targets(&world.targets, world.now).unwrap());
    });
    group.finish();
}

criterion_group!(benches, prober);
criterion_main!(benches);
