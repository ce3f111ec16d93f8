//! Captures made by hand, and what a replay makes of them. Times in milliseconds from the first frame.

use guideway_config::model::Config;
use guideway_control::replay::{Frame, Options, Record, Replay, ReplayError, Summary, Timed};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::{checksum, protocol, tcp};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// T of the pool.
pub const IDLE: u64 = 1_000;
/// G.
pub const ARM: u64 = 200;
/// When captures begin: a moment of 2023.
const START: Nanos = Nanos(1_700_000_000_123_456_789);

/// Pool `web` with web1 to web4, by TCP and UDP; pool `api` with web1 and api2. The next hops of 10.0.0.11 to .15 are known.
pub fn config() -> Arc<Config> {
    config_with("")
}

/// The same, with more keys for pool `web`.
pub fn config_with(keys: &str) -> Arc<Config> {
    let neighbors: String = (11..=15)
        .map(|n| format!("[[interface.neighbor]]\naddress = \"10.0.0.{n}\"\nmac = \"02:00:00:00:00:{n}\"\n"))
        .collect();
    let backends: String =
        (1..=4).map(|n| format!("[[pool.backend]]\nname = \"web{n}\"\naddress = \"10.0.0.1{n}\"\n")).collect();
    let text = format!(
        r#"
[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"
[cores]
control = 0
workers = [1]
[state]
arm_time = "{ARM}ms"
pins = 65536
[[port]]
name = "edge"
device = "net_null0"
[[interface]]
port = "edge"
addresses = ["10.0.0.1/24"]
{neighbors}
[[pool]]
name = "web"
forward = "ipip"
idle_timeout = {{ tcp = "{IDLE}ms", udp = "{IDLE}ms" }}
{keys}
{backends}
[[pool]]
name = "api"
forward = "ipip"
idle_timeout = {{ tcp = "{IDLE}ms" }}
[[pool.backend]]
name = "web1"
address = "10.0.0.11"
[[pool.backend]]
name = "api2"
address = "10.0.0.12"
[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 80
pool = "web"
[[vip]]
address = "203.0.113.10"
protocol = "udp"
port = 53
pool = "web"
[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 8080
pool = "api"
"#
    );
    Arc::new(guideway_config::parse(&text, None).expect("a valid configuration").config)
}

/// `--at` as it is written.
pub fn at(actions: &[(&str, &str)]) -> Result<Vec<Timed>, ReplayError> {
    actions.iter().map(|(time, action)| Timed::parse(time, action)).collect()
}

/// Options with these actions.
pub fn actions(list: &[(&str, &str)]) -> Options {
    Options { at: at(list).expect("good actions"), ..Options::default() }
}

/// Every flow has an address and a port of its own.
fn client(flow: u32, first_port: u16) -> SocketAddr {
    let port = first_port + (flow.wrapping_mul(40_503) % 10_000) as u16;
    SocketAddr::new([198, 51, (flow >> 8) as u8, flow as u8].into(), port)
}

fn vip(port: u16) -> SocketAddr {
    SocketAddr::new([203, 0, 113, 10].into(), port)
}

/// The first sequence number of a flow.
fn first_number(flow: u32) -> u32 {
    flow.wrapping_mul(2_654_435_761)
}

/// The SYN of a TCP flow.
pub fn syn(flow: u32) -> Vec<u8> {
    Craft::tcp(client(flow, 40_000), vip(80), tcp::SYN).numbers(first_number(flow), 0).frame()
}

fn segment(flow: u32, flags: u8) -> Craft {
    let craft = Craft::tcp(client(flow, 40_000), vip(80), flags);
    craft.numbers(first_number(flow).wrapping_add(1), 77).payload(&[0x55; 60])
}

/// A segment of it with data.
pub fn data(flow: u32) -> Vec<u8> {
    segment(flow, tcp::ACK).frame()
}

/// Its last segment.
pub fn fin(flow: u32) -> Vec<u8> {
    segment(flow, tcp::ACK | tcp::FIN).frame()
}

fn datagram_of(flow: u32) -> Craft {
    Craft::udp(client(flow, 50_000), vip(53)).payload(&[0x66; 72])
}

/// A datagram of a UDP flow.
pub fn datagram(flow: u32) -> Vec<u8> {
    datagram_of(flow).frame()
}

/// The same, in two fragments.
pub fn datagram_fragments(flow: u32, identification: u16) -> [Vec<u8>; 2] {
    fragments(&datagram_of(flow), protocol::UDP, identification)
}

/// A segment of a TCP flow in two fragments.
pub fn data_fragments(flow: u32, identification: u16) -> [Vec<u8>; 2] {
    fragments(&segment(flow, tcp::ACK), protocol::TCP, identification)
}

fn fragments(whole: &Craft, number: u8, identification: u16) -> [Vec<u8>; 2] {
    const FIRST: usize = 48;
    let packet = whole.ip_packet();
    let address = |at: usize| {
        let bytes: [u8; 4] = packet[at..at + 4].try_into().unwrap();
        std::net::IpAddr::from(bytes)
    };
    let part = |payload: &[u8], fragment: u16| {
        let craft = Craft::raw(address(12), address(16), number).payload(payload).fragment(fragment);
        let mut frame = craft.frame();
        frame[18..20].copy_from_slice(&identification.to_be_bytes());
        frame[24..26].fill(0);
        let sum = checksum::of(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let payload = &packet[20..];
    [part(&payload[..FIRST], 0x2000), part(&payload[FIRST..], (FIRST / 8) as u16)]
}

/// Frames and when they came.
#[derive(Clone, Default)]
pub struct Capture(Vec<(u64, Vec<u8>)>);

impl Capture {
    pub fn add(&mut self, at: u64, frame: Vec<u8>) -> &mut Self {
        self.0.push((at, frame));
        self
    }

    /// A TCP flow: a SYN, and data at each of these times.
    pub fn add_flow(&mut self, flow: u32, started: u64, times: impl IntoIterator<Item = u64>) -> &mut Self {
        self.add(started, syn(flow));
        for at in times {
            self.add(at, data(flow));
        }
        self
    }

    /// What a replay makes of it.
    pub fn run(&self, config: &Arc<Config>, options: &Options) -> Outcome {
        self.try_run(config, options).expect("a replay that ends")
    }

    pub fn try_run(&self, config: &Arc<Config>, options: &Options) -> Result<Outcome, ReplayError> {
        let mut frames = self.0.clone();
        frames.sort_by_key(|(at, _)| *at);
        replay(frames, config, options)
    }

    /// The same with every other frame's time put back by so much.
    pub fn run_out_of_order(&self, config: &Arc<Config>, options: &Options, by: u64) -> Outcome {
        let mut frames = self.0.clone();
        frames.sort_by_key(|(at, _)| *at);
        let frames =
            frames.into_iter().enumerate().map(|(n, (at, frame))| (at.saturating_sub(n as u64 % 2 * by), frame));
        replay(frames.collect(), config, options).expect("a replay that ends")
    }
}

fn replay(frames: Vec<(u64, Vec<u8>)>, config: &Arc<Config>, options: &Options) -> Result<Outcome, ReplayError> {
    let mut replay = Replay::new(config, options)?;
    let (mut records, mut sent) = (Vec::new(), Vec::new());
    let mut last = START;
    for (at, bytes) in frames {
        last = START + Duration::from_millis(at);
        replay.advance(last)?;
        let frame = Frame { at: last, bytes, cut: false };
        let record = replay.feed(&frame, |port, frame| {
            sent.push((port, frame.to_vec()));
            Ok::<(), Infallible>(())
        });
        let Ok(record) = record;
        records.push((at, record));
    }
    replay.finish(last)?;
    for counters in replay.counters() {
        let (entered, left) = counters.conservation();
        assert_eq!(entered, left, "every worker accounts for what it got");
    }
    let received = replay.counters().iter().map(|counters| counters.received.packets.get()).collect();
    Ok(Outcome { records, sent, received, summary: replay.summary().clone() })
}

/// What a replay said.
pub struct Outcome {
    /// Each packet, and when it came.
    pub records: Vec<(u64, Record)>,
    pub sent: Vec<(PortId, Vec<u8>)>,
    /// Packets by worker.
    pub received: Vec<u64>,
    pub summary: Summary,
}

/// Where the packets of a flow went: when, and to whom.
pub type Journey = Vec<(u64, String)>;

impl Outcome {
    /// Where each flow went, by what it is called.
    pub fn journeys(&self) -> BTreeMap<String, Journey> {
        let mut journeys = BTreeMap::<String, Journey>::new();
        for (at, record) in &self.records {
            let (Some(flow), Some(backend)) = (&record.flow, &record.backend) else { continue };
            journeys.entry(flow.clone()).or_default().push((*at, backend.clone()));
        }
        journeys
    }

    /// Where a TCP flow went.
    pub fn journey(&self, flow: u32) -> Journey {
        let name = format!("{} > {} tcp", client(flow, 40_000), vip(80));
        self.journeys().remove(&name).unwrap_or_default()
    }

    /// The backends of a TCP flow, in the order in which it had them.
    pub fn backends(&self, flow: u32) -> Vec<String> {
        let mut backends: Vec<String> = self.journey(flow).into_iter().map(|(_, backend)| backend).collect();
        backends.dedup();
        backends
    }

    /// What was said of the packets of this moment.
    pub fn at(&self, at: u64) -> Vec<&Record> {
        self.records.iter().filter(|(time, _)| *time == at).map(|(_, record)| record).collect()
    }
}

/// Changes of backend: when, from whom, to whom.
pub fn moves(journey: &Journey) -> Vec<(u64, &str, &str)> {
    let pairs = journey.windows(2).filter(|pair| pair[0].1 != pair[1].1);
    pairs.map(|pair| (pair[1].0, pair[0].1.as_str(), pair[1].1.as_str())).collect()
}

/// The first TCP flows, from `from` on, that the untouched table gives to a backend of pool `web`.
pub fn flows_of(config: &Arc<Config>, backend: &str, from: u32, count: usize) -> Vec<u32> {
    let mut capture = Capture::default();
    let candidates: Vec<u32> = (from..from + 40 * count as u32).collect();
    for flow in &candidates {
        capture.add(0, syn(*flow));
    }
    let outcome = capture.run(config, &Options::default());
    let journeys = outcome.records.iter().zip(&candidates);
    let of = journeys.filter(|((_, record), _)| record.backend.as_deref() == Some(backend)).map(|(_, flow)| *flow);
    let flows: Vec<u32> = of.take(count).collect();
    assert_eq!(flows.len(), count);
    flows
}
