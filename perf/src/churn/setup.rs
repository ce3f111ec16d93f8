//! What is simulated.

use guideway_config::model::Config;
use guideway_dataplane::consistency::Rules;
use std::fmt::Write;
use std::time::Duration;

/// A flood beside the flows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flood {
    /// Packets for each new flow.
    pub rate: f64,
    /// Share of them that are made-up acknowledgements; the others are SYNs.
    pub acks: f64,
}

/// What is simulated. Times are virtual.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Where random numbers begin.
    pub seed: u64,
    /// Flows that begin, a client with affinity counting as one.
    pub flows: u64,
    /// Changes, one after each `change_every`.
    pub changes: u64,
    /// Time from change to change.
    pub change_every: Duration,
    /// Backends of the pool at the beginning.
    pub backends: u16,
    /// Backends of each of the two pools of clients with affinity.
    pub sticky_backends: u16,
    /// Slots of the pool's table.
    pub table_size: u32,
    /// Workers.
    pub workers: usize,
    /// T.
    pub idle: Duration,
    /// G.
    pub arm_time: Duration,
    /// Words of the pin table.
    pub pins: usize,
    /// Whether every flow has a pin, always.
    pub always: bool,
    /// The flood.
    pub flood: Flood,
    /// Share of snapshots that a worker adopts late, and how late.
    pub slow_adoptions: f64,
    /// The latest that a worker adopts a snapshot.
    pub slowest_adoption: Duration,
    /// How far the clocks of all workers but the first are behind.
    pub clock_skew: Duration,
    /// Share of flows that are UDP, QUIC, and of clients with affinity; the others are TCP.
    pub udp: f64,
    /// See `udp`.
    pub quic: f64,
    /// See `udp`.
    pub sticky: f64,
    /// Share of backends below which all count as up; 0: never.
    pub panic_threshold: f64,
    /// Share of backends that one event in ten takes down together; 0: none.
    pub outage: f64,
    /// Share of changes that remove a backend and add another one.
    pub replacements: f64,
    /// Whether backends die and return.
    pub deaths: bool,
    /// Share of flows whose tuple is used again after their end.
    pub reuse: f64,
    /// Share of flows of which a stray RST comes after their end.
    pub strays: f64,
    /// The longest idle gap of a flow, as a share of T.
    pub longest_gap: f64,
    /// Which rules hold.
    pub rules: Rules,
}

impl Default for Setup {
    /// The size of the figures in the documentation: 10 million flows, a change a minute over 1,000 backends.
    fn default() -> Self {
        Self {
            seed: 1,
            flows: 10_000_000,
            changes: 1_000,
            change_every: Duration::from_secs(60),
            backends: 1_000,
            sticky_backends: 50,
            table_size: 65_537,
            workers: 2,
            idle: Duration::from_secs(900),
            arm_time: Duration::from_secs(3),
            pins: 1 << 20,
            always: false,
            flood: Flood::default(),
            slow_adoptions: 0.1,
            slowest_adoption: Duration::from_secs(10),
            clock_skew: Duration::from_millis(300),
            udp: 0.1,
            quic: 0.1,
            sticky: 0.02,
            panic_threshold: 0.0,
            outage: 0.0,
            replacements: 0.1,
            deaths: true,
            reuse: 0.2,
            strays: 0.05,
            longest_gap: 0.9,
            rules: Rules::ALL,
        }
    }
}

impl Setup {
    /// A simulation that a test can run: the same, smaller and faster.
    #[must_use]
    pub fn small() -> Self {
        Self {
            flows: 20_000,
            changes: 60,
            change_every: Duration::from_secs(6),
            backends: 20,
            sticky_backends: 5,
            table_size: 2_039,
            idle: Duration::from_secs(60),
            pins: 1 << 16,
            clock_skew: Duration::from_millis(300),
            udp: 0.15,
            quic: 0.15,
            sticky: 0.1,
            ..Self::default()
        }
    }

    /// How long flows begin.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.change_every * u32::try_from(self.changes).unwrap_or(u32::MAX)
    }

    /// The configuration of the product.
    pub(super) fn config(&self) -> Config {
        let Self { pins, table_size, .. } = self;
        let seconds = |time: Duration| format!("{}ms", time.as_millis());
        let (idle, arm) = (seconds(self.idle), seconds(self.arm_time));
        let tracking = if self.always { "always" } else { "transition" };
        let mut text = format!(
            "[fleet]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n[cores]\ncontrol = 0\nworkers = [1, 2]\n\
             [state]\npins = {pins}\narm_time = \"{arm}\"\n\
             [[port]]\nname = \"edge\"\ndevice = \"net_null0\"\n\
             [[interface]]\nport = \"edge\"\naddresses = [\"10.255.0.1/24\"]\n\
             [[interface.neighbor]]\naddress = \"10.255.0.254\"\nmac = \"02:00:00:00:00:fe\"\n\
             [[route]]\nto = \"default\"\nvia = [\"10.255.0.254\"]\n"
        );
        let pools = [("web", self.backends), ("sticky", self.sticky_backends), ("sticky2", self.sticky_backends)];
        for (number, (name, backends)) in pools.into_iter().enumerate() {
            let size = if number == 0 { *table_size } else { 4_093 };
            let _ = write!(
                text,
                "[[pool]]\nname = \"{name}\"\nforward = \"ipip\"\ntable_size = {size}\ntracking = \"{tracking}\"\n\
                 idle_timeout = {{ tcp = \"{idle}\", udp = \"{idle}\", quic = \"{idle}\" }}\n"
            );
            if self.panic_threshold > 0.0 && number == 0 {
                let _ = writeln!(text, "panic_threshold = {}", self.panic_threshold);
            }
            for backend in 0..backends {
                let (name, address) = (backend_name(number, backend.into()), backend_address(number, backend.into()));
                let _ = write!(text, "[[pool.backend]]\nname = \"{name}\"\naddress = \"{address}\"\nweight = 10\n");
            }
        }
        let vips = [
            ("203.0.113.10", "tcp", 80, "web"),
            ("203.0.113.10", "udp", 53, "web"),
            ("203.0.113.10", "quic", 443, "web"),
            ("203.0.113.11", "tcp", 80, "sticky"),
            ("203.0.113.12", "tcp", 80, "sticky2"),
        ];
        for (address, protocol, port, pool) in vips {
            let affinity = if pool == "web" {
                String::new()
            } else {
                format!("affinity = \"client\"\naffinity_window = \"{idle}\"\n")
            };
            let _ = write!(
                text,
                "[[vip]]\naddress = \"{address}\"\nprotocol = \"{protocol}\"\nport = {port}\npool = \"{pool}\"\n{affinity}"
            );
        }
        match guideway_config::parse(&text, None) {
            Ok(parsed) => parsed.config,
            Err(errors) => unreachable!("the simulation's configuration is refused: {errors:?}"),
        }
    }
}

/// The name of the backend that was the `number`th of a pool.
pub(super) fn backend_name(pool: usize, number: u64) -> String {
    format!("p{pool}b{number}")
}

/// Its address.
pub(super) fn backend_address(pool: usize, number: u64) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from(0x0a00_0001 + ((pool as u32) << 22) + number as u32)
}
