//! What each page finds where it runs: files that it names, a network with servers.

use crate::page::{Page, root};
use crate::session::Session;
use anyhow::{Context, Result};
use etherparse::PacketBuilder;
use guideway_lab::config::table;
use guideway_lab::{Device, Guideway, GuidewayConfig, LabOptions, address};
use pcap_file::pcap::{PcapPacket, PcapWriter};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// The program under test.
const BINARY: &str = env!("CARGO_BIN_EXE_guideway");

/// The VIP of [`Surroundings::Site`], one of those that its router sends to the balancer.
const VIP: [u8; 4] = [203, 0, 113, 10];

/// All pages that run, in alphabetical order.
pub const PAGES: [(&str, Surroundings); 6] = [
    ("README.md", Surroundings::Site),
    ("docs/forwarding-modes.md", Surroundings::Backend),
    ("docs/getting-started.md", Surroundings::Nothing),
    ("docs/operations.md", Surroundings::Site),
    ("docs/packets.md", Surroundings::Capture),
    ("docs/tuning.md", Surroundings::Nothing),
];

/// What a page finds.
#[derive(Clone, Copy, Debug)]
pub enum Surroundings {
    /// The program, and a network without any interface: the page builds what it needs.
    Nothing,
    /// The balancer's place in a lab with four web servers. `/etc/guideway.toml` and `FILE` are a configuration with
    /// three of them in the pool `web`, and an exception path; `IN.pcap` is a capture of a connection to their VIP.
    Site,
    /// A backend's place in a lab, without what the lab does for direct server return. Guideway runs at the balancer's
    /// place, with a pool of each kind of forwarding, and its control socket is where `guideway status` looks.
    Backend,
    /// The example of one port as `guideway.toml`, with its neighbors, and `in.pcap`: what the page tells of.
    Capture,
}

impl Surroundings {
    /// Runs a page there.
    pub fn run(self, page: &Page) -> Result<()> {
        let session = Session::new(Path::new(BINARY))?;
        match self {
            Self::Nothing => session.run(page, None, ""),
            Self::Site => run_at_site(&session, page),
            Self::Backend => run_on_backend(&session, page),
            Self::Capture => {
                let example = std::fs::read_to_string(root().join("config/examples/one-armed-dsr.toml"))?;
                std::fs::write(session.work("guideway.toml"), with_neighbors(&example))?;
                write_drained(&session.work("in.pcap"))?;
                session.run(page, None, "")
            }
        }
    }
}

fn run_on_backend(session: &Session, page: &Page) -> Result<()> {
    let lab = LabOptions::new().exclusive().build()?;
    let _servers = lab.start_nginx()?;
    let modes = [("web", "l2dsr", 10), ("far", "ipip", 11), ("gre", "gre", 12), ("gue", "gue", 13)];
    let mut config =
        modes.into_iter().fold(GuidewayConfig::new(&lab, Device::AfPacket, &[1]), |config, (pool, mode, vip)| {
            patient(config.pool(&lab, pool, mode, false)).vip(address::vip_v4(vip), "tcp", 80, pool)
        });
    config.api = table([("socket", session.work("guideway.sock").to_string_lossy().as_ref().into())]);
    let guideway = Guideway::start(&lab, Path::new(BINARY), &config)?;
    let backend = lab.backend(1).namespace();
    backend.ip(&format!(
        "route del local {} dev lo\nroute del local {} dev lo\n",
        address::VIPS_V4,
        address::VIPS_V6
    ))?;
    backend.sysctl(&[("net.ipv4.conf.all.arp_ignore", "0"), ("net.ipv4.conf.all.arp_announce", "0")])?;
    let first = format!("ln -s {} /run/guideway.sock", guideway.socket().display());
    session.run(page, Some(backend.name()), &first)
}

/// Checks of the last pool that do not fail because a machine with two cores is late at times.
fn patient(mut config: GuidewayConfig) -> GuidewayConfig {
    if let Some(pool) = config.pool.last_mut() {
        pool.health.extend(table([("interval", "100ms".into()), ("timeout", "500ms".into())]));
    }
    config
}

fn run_at_site(session: &Session, page: &Page) -> Result<()> {
    let lab = LabOptions::new().backends(4).exclusive().build()?;
    let _servers = lab.start_nginx()?;
    let config = GuidewayConfig::new(&lab, Device::AfPacket, &[1]);
    let config = config.pool_at(&lab.backends()[..3], "web", "l2dsr", |backend| backend.v4().into());
    let mut config = patient(config).vip(VIP.into(), "tcp", 80, "web");
    // Nobody waits for minutes until a drain is over.
    config.state = Some(table([("arm_time", "100ms".into())]));
    config.pool[0].more = table([("idle_timeout", table_of("tcp", "1s"))]);
    config.api = table([("socket", "/run/guideway.sock".into())]);
    config.exception = Some(table([("ports", vec!["edge"].into())]));
    std::fs::write(session.work("FILE"), config.text()?)?;
    write_capture(&session.work("IN.pcap"), (VIP, 80), &[(0, 40_000, true), (10, 40_000, false)])?;
    lab.balancer().sysctl(&[("net.ipv6.conf.default.disable_ipv6", "0"), ("net.ipv4.conf.gw0.rp_filter", "1")])?;
    session.run(page, Some(lab.balancer().name()), "cp FILE /etc/guideway.toml")
}

fn table_of(key: &str, value: &str) -> toml::Value {
    toml::Value::Table([(key.to_owned(), value.into())].into_iter().collect())
}

/// The example with its gateway and backends as static neighbors.
fn with_neighbors(example: &str) -> String {
    let own = "addresses = [\"192.0.2.2/24\"]\n";
    let neighbor = |last: u8| {
        format!("[[interface.neighbor]]\naddress = \"192.0.2.{last}\"\nmac = \"02:00:00:00:00:{last:02}\"\n")
    };
    let neighbors: String = [1, 11, 12, 13].into_iter().map(neighbor).collect();
    example.replace(own, &format!("{own}{neighbors}"))
}

/// A client with a connection to a backend that is drained after 1.5 s, and two more connections.
fn write_drained(path: &Path) -> Result<()> {
    let (first, armed, later) = (41_000, 41_002, 41_006);
    let packets = [
        (0, first, true),
        (10, first, false),
        (2_000, armed, true),
        (2_100, first, false),
        (6_000, first, false),
        (6_100, later, true),
        (6_200, first, false),
    ];
    write_capture(path, ([192, 0, 2, 80], 443), &packets)
}

/// Writes packets of a client to a VIP: milliseconds from the first, client's port, whether it is a SYN.
fn write_capture(path: &Path, (vip, port): ([u8; 4], u16), packets: &[(u64, u16, bool)]) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut writer = PcapWriter::new(file)?;
    for (milliseconds, client, is_syn) in packets {
        let tcp = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 0xfe], address::BALANCER_MAC)
            .ipv4([198, 51, 100, 7], vip, 64)
            .tcp(*client, port, if *is_syn { 1 } else { 2 }, 65_000);
        let tcp = if *is_syn { tcp.syn() } else { tcp.ack(1) };
        let mut frame = Vec::new();
        tcp.write(&mut frame, &[])?;
        let length = u32::try_from(frame.len())?;
        writer.write_packet(&PcapPacket::new(Duration::from_millis(*milliseconds), length, &frame))?;
    }
    Ok(())
}
