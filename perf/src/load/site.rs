//! The balancer under test: a configuration, the control side's state that follows from it, and workers.

use super::frames::{FrameSetup, FrameSize};
use super::receiver::Recognition;
use guideway_config::model::Config;
use guideway_control::reconcile::reconcile;
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{LinkId, PortId, WorkerId};
use guideway_dataplane::port::Port;
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::{PortState, SnapshotPublisher, SnapshotReader};
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::wire::ethernet::{Mac, format_mac};
use guideway_dataplane::wire::gue;
use guideway_dataplane::worker::{Worker, WorkerParts};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// The most pools: each has a service of its own.
pub const MAX_POOLS: u16 = 1_000;
/// The most backends of all pools together.
pub const MAX_BACKENDS: u32 = 30_000;

/// The port's own hardware address, and the sender's.
const PORT_MAC: Mac = [2, 0, 0, 0, 0, 1];
const SENDER_MAC: Mac = [2, 0, 0, 0, 0, 0xfe];
const SERVICE_PORT: u16 = 80;
/// What a tunnel adds at most, rounded up.
const OVERHEAD: usize = 60;

/// How packets reach backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// With the backend's hardware address.
    L2dsr,
    /// In a tunnel of the packet's own family.
    Ipip,
    /// In GUE variant 0 of the packet's own family, without UDP checksum.
    Gue,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::L2dsr => "l2dsr",
            Self::Ipip => "ipip",
            Self::Gue => "gue",
        })
    }
}

/// What is balanced, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// How packets reach backends.
    pub mode: Mode,
    /// Whether clients, services and backends have IPv6 addresses.
    pub v6: bool,
    /// Pools, each with a service: 1 to [`MAX_POOLS`].
    pub pools: u16,
    /// Backends of each pool; of all pools together at most [`MAX_BACKENDS`].
    pub backends: u16,
    /// Flows: 1 to [`super::frames::MAX_FLOWS`].
    pub flows: u32,
    /// Lengths of frames.
    pub size: FrameSize,
}

impl Site {
    /// A name for tables: mode, family and frame size.
    #[must_use]
    pub fn name(&self) -> String {
        let family = if self.v6 { 6 } else { 4 };
        format!("{} IPv{family} {} bytes", self.mode, self.size).replace("IMIX bytes", "IMIX")
    }

    /// What the generator sends.
    #[must_use]
    pub fn frames(&self) -> FrameSetup {
        FrameSetup {
            destination: PORT_MAC,
            source: SENDER_MAC,
            service: SocketAddr::new(self.service(0), SERVICE_PORT),
            services: self.pools,
            flows: self.flows,
            size: self.size,
        }
    }

    /// How it is recognised.
    #[must_use]
    pub const fn recognition(&self) -> Recognition {
        Recognition { port: SERVICE_PORT, gue_port: gue::PORT }
    }

    /// The control side's state for `workers` workers, settled.
    #[must_use]
    pub fn state(&self, workers: usize) -> State {
        let ports = vec![PortState::new(PORT_MAC)];
        let state = State::new(Arc::new(self.config(workers)), ports, UNIX_EPOCH);
        let mut state = state.unwrap_or_else(|error| unreachable!("the benchmark's configuration is refused: {error}"));
        state.settle();
        state
    }

    /// The state, and the channel to workers that use it.
    #[must_use]
    pub fn start(&self, workers: usize) -> (State, SnapshotPublisher, Vec<SnapshotReader>) {
        let mut state = self.state(workers);
        let (publisher, readers) = publish::channel(reconcile(&mut state), workers);
        state.published(publisher.generation());
        (state, publisher, readers)
    }

    /// What the `number`th backend of a pool is called.
    #[must_use]
    pub fn backend_name(pool: u16, number: u16) -> String {
        format!("p{pool}b{number}")
    }

    /// What a pool is called.
    #[must_use]
    pub fn pool_name(pool: u16) -> String {
        format!("pool{pool}")
    }

    /// The address of the `number`th of all backends, from 0.
    #[must_use]
    pub fn backend(&self, number: u32) -> IpAddr {
        if self.v6 {
            Ipv6Addr::from((0xfd00_u128 << 112) + 1 + u128::from(number)).into()
        } else {
            Ipv4Addr::from(0x0a00_0001 + number).into()
        }
    }

    /// The link and hardware address of the `number`th of all backends.
    #[must_use]
    pub fn neighbor(&self, number: u32) -> (LinkId, Mac) {
        let [_, high, middle, low] = number.to_be_bytes();
        (LinkId(0), [2, 0, 1, high, middle, low])
    }

    fn service(&self, pool: u16) -> IpAddr {
        if self.v6 {
            Ipv6Addr::new(0x2001, 2, 0, 1, 0, 0, 0, 1 + pool).into()
        } else {
            Ipv4Addr::from(0xc613_0001 + u32::from(pool)).into()
        }
    }

    fn config(&self, workers: usize) -> Config {
        let workers: Vec<String> = (1..=workers.max(1)).map(|core| core.to_string()).collect();
        let mtu = (self.size.longest_packet(self.v6) + OVERHEAD).max(1_600);
        // Backends of l2dsr are neighbors; the others lie behind a router.
        let (own, router) = match (self.v6, self.mode) {
            (false, Mode::L2dsr) => ("10.255.0.1/8", "10.255.0.254"),
            (false, _) => ("10.255.0.1/24", "10.255.0.254"),
            (true, Mode::L2dsr) => ("fd00::ffff:0:1/64", "fd00::ffff:0:254"),
            (true, _) => ("fd00:0:0:1::1/64", "fd00:0:0:1::254"),
        };
        let mut text = format!(
            "[fleet]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n[cores]\ncontrol = 0\nworkers = [{}]\n\
             [[port]]\nname = \"edge\"\ndevice = \"net_null0\"\nmtu = {mtu}\n\
             [[interface]]\nport = \"edge\"\naddresses = [\"{own}\"]\n\
             [[interface.neighbor]]\naddress = \"{router}\"\nmac = \"02:00:00:00:00:fe\"\n",
            workers.join(", ")
        );
        if self.mode == Mode::L2dsr {
            for number in 0..u32::from(self.pools) * u32::from(self.backends) {
                let (address, (_, mac)) = (self.backend(number), self.neighbor(number));
                let mac = format_mac(mac);
                let _ = write!(text, "[[interface.neighbor]]\naddress = \"{address}\"\nmac = \"{mac}\"\n");
            }
        }
        let _ = write!(text, "[[route]]\nto = \"default\"\nvia = [\"{router}\"]\n");
        (0..self.pools).for_each(|pool| self.pool(pool, &mut text));
        match guideway_config::parse(&text, None) {
            Ok(parsed) => parsed.config,
            Err(errors) => unreachable!("the benchmark's configuration is refused: {errors:?}"),
        }
    }

    fn pool(&self, pool: u16, text: &mut String) {
        let name = Self::pool_name(pool);
        let checksum = if self.mode == Mode::Gue { "udp_checksum = false\n" } else { "" };
        let _ = write!(text, "[[pool]]\nname = \"{name}\"\nforward = \"{}\"\n{checksum}", self.mode);
        for number in 0..self.backends {
            let address = self.backend(u32::from(pool) * u32::from(self.backends) + u32::from(number));
            let name = Self::backend_name(pool, number);
            let _ = write!(text, "[[pool.backend]]\nname = \"{name}\"\naddress = \"{address}\"\nweight = 10\n");
        }
        let service = self.service(pool);
        let _ = write!(
            text,
            "[[vip]]\naddress = \"{service}\"\nprotocol = \"tcp\"\nport = {SERVICE_PORT}\npool = \"{name}\"\n"
        );
    }
}

/// A worker between two queues, and what it counts.
#[must_use]
pub fn worker<P: Port>(
    number: u16,
    rx: P::Rx,
    tx: P::Tx,
    pool: Arc<P::Pool>,
    snapshots: SnapshotReader,
) -> (Worker<P>, Arc<WorkerCounters>) {
    let counters = Arc::new(WorkerCounters::default());
    let worker = Worker::new(WorkerParts {
        id: WorkerId(number),
        rx: vec![(PortId(0), rx)],
        tx: vec![TxPath::Queue(tx)],
        snapshots,
        rings: ControlRings::new(),
        pool,
        exception_rate: PuntClass::Exception.rate(),
        sessions: None,
        secret: [7; 16],
        counters: Arc::clone(&counters),
    });
    (worker, counters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::frames::Frames;
    use crate::load::stamp::{self, Stamp};
    use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort, MemoryRx, MemoryTx, link};
    use guideway_dataplane::port::Packet as _;
    use guideway_dataplane::time::Nanos;
    use guideway_dataplane::wire::checksum::{fold, sum};
    use std::collections::HashSet;

    const SIZES: [FrameSize; 4] =
        [FrameSize::Fixed(64), FrameSize::Fixed(128), FrameSize::Imix, FrameSize::Fixed(9_000)];

    fn sites() -> impl Iterator<Item = Site> {
        let modes = [Mode::L2dsr, Mode::Ipip, Mode::Gue];
        let site = |mode, v6, size| Site { mode, v6, pools: 3, backends: 2, flows: 70_000, size };
        let families = [false, true];
        modes.into_iter().flat_map(move |mode| {
            families.into_iter().flat_map(move |v6| SIZES.into_iter().map(move |size| site(mode, v6, size)))
        })
    }

    #[test]
    fn checksums_of_frames_are_right() {
        for site in sites() {
            let mut frames = Frames::new(&site.frames());
            for sequence in 0..40 {
                let mut packet = MemoryPacket::new(&[]);
                let stamp = Stamp {
                    trial: 0xfffe,
                    sequence: 0x1234_5678_u32.wrapping_mul(sequence),
                    ticks: u32::MAX - sequence,
                };
                assert!(frames.write(&mut packet, stamp));
                let frame = packet.frame();
                let lengths = site.size.lengths(site.v6);
                assert!(lengths.contains(&(frame.len() + 4)), "{}", frame.len());
                let (ip, tcp, addresses) = if site.v6 { (14..14, 54, 22..54) } else { (14..34, 34, 26..34) };
                assert!(ip.is_empty() || fold(sum(&frame[ip])) == 0xffff, "{}", site.name());
                let pseudo = sum(&frame[addresses]) + (frame.len() - tcp) as u32 + 6;
                assert_eq!(fold(pseudo + sum(&frame[tcp..])), 0xffff, "{}", site.name());
            }
        }
    }

    #[test]
    fn stamps_survive_each_rewrite() {
        for site in sites() {
            let (_, _publisher, mut readers) = site.start(1);
            let (inward, outward) = (link(), link());
            let (rx, tx) = (MemoryRx(Arc::clone(&inward)), MemoryTx(Arc::clone(&outward)));
            let (mut worker, _) = worker::<MemoryPort>(0, rx, tx, Arc::new(MemoryPool), readers.remove(0));
            let mut frames = Frames::new(&site.frames());
            let stamps: Vec<_> =
                (0..48).map(|n| Stamp { trial: 9, sequence: n, ticks: n.wrapping_mul(0x9e37) }).collect();
            for &stamp in &stamps {
                let mut packet = MemoryPacket::new(&[]);
                assert!(frames.write(&mut packet, stamp));
                inward.push(packet).expect("room");
            }
            worker.poll(Nanos(1), &mut ());
            let out: Vec<MemoryPacket> = std::iter::from_fn(|| outward.pop()).collect();
            let Recognition { port, gue_port } = site.recognition();
            let places: HashSet<_> =
                out.iter().map(|packet| stamp::find(packet.frame(), port, gue_port).expect("a stamp")).collect();
            assert_eq!(places.len(), 1, "{}: at one place in frames of any length", site.name());
            let place = places.into_iter().next().expect("one");
            let found: Vec<_> = out.iter().filter_map(|packet| Stamp::read(&packet.frame()[place..])).collect();
            assert_eq!(found, stamps, "{}", site.name());
        }
    }

    #[test]
    fn what_carries_no_stamp_has_none() {
        let site = Site { mode: Mode::Ipip, v6: false, pools: 1, backends: 1, flows: 1, size: FrameSize::Fixed(64) };
        let mut packet = MemoryPacket::new(&[]);
        assert!(Frames::new(&site.frames()).write(&mut packet, Stamp::default()));
        let frame = packet.frame();
        assert_eq!(stamp::find(frame, 80, 6_080), Some(34));
        assert_eq!(stamp::find(frame, 81, 6_080), None);
        for len in 0..54 {
            assert_eq!(stamp::find(&frame[..len], 80, 6_080), None, "cut to {len}");
        }
    }
}
