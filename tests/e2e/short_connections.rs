//! Many short connections through `fullnat`, of clients whose timestamp clocks have nothing to do with each other: all of
//! them come from one address of the balancer, so a port that is used again too early meets a backend that remembers a
//! later timestamp, and refuses it (PAWS, RFC 7323, section 5).
//!
//! Sized by the environment: `GUIDEWAY_CONNECTIONS` (15,000) and `GUIDEWAY_RATE` (500 a second, with a backend for each
//! 500). The figures are printed: `cargo test --test e2e short_connections -- --nocapture`.
//!
//! One source address and one backend have some 60,000 ports. Each is in use or at rest for 80 s after the end of a
//! connection (20 s in the table of sessions, 60 s of rest), so 750 connections a second is the most for long. If ports did
//! not rest, some 200 connections of a run of 30 s at 500 a second would get a port that the backend remembers, and half of
//! these have a clock that is behind. 200,000 connections at 500 a second use each port three times.

use crate::setup::{Site, number, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::brief::{self, BriefOptions, BriefReport, BriefServers};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::{Device, GuidewayConfig, Lab, LabOptions, Process, address, raise_file_limit, runnable};
use std::net::SocketAddr;
use std::time::Duration;
use toml::Value;

/// Where the backend's server listens.
const BACKEND_PORT: u16 = 9200;
/// The balancer's address that stands for clients.
const SOURCE: &str = "10.0.0.100";
/// Connections a second for each backend: two thirds of what its ports are enough for.
const RATE_OF_BACKEND: usize = 500;
/// Addresses of clients.
const CLIENTS: u16 = 1000;
/// Within which each connection comes about. A SYN that is refused or lost is sent again after a second.
const LIMIT: Duration = Duration::from_millis(500);
/// After which one has failed.
const HANGS: Duration = Duration::from_secs(60);
/// Clients whose clocks are compared.
const CLOCKS: usize = 100;

fn target() -> SocketAddr {
    SocketAddr::new(address::vip_v4(40), 80)
}

fn config(lab: &Lab) -> GuidewayConfig {
    let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[1]).pool(lab, "brief", "fullnat", false);
    // Four times what ends in a minute, or some ports would rest for a shorter time.
    config.state = Some(table([("sessions", 524_288.into())]));
    for pool in &mut config.pool {
        pool.more.insert("source_addresses".to_owned(), vec![Value::from(SOURCE)].into());
        for backend in &mut pool.backend {
            backend.insert("port".to_owned(), i64::from(BACKEND_PORT).into());
        }
    }
    patient_checks(config.vip(target().ip(), "tcp", target().port(), "brief"))
}

/// What kernels counted. A backend that remembers a connection answers a SYN with an older clock by an acknowledgement
/// of that connection. The client answers this by a reset, and sends its SYN again.
#[derive(Debug)]
struct Counts {
    /// Segments of any kind with an older clock than a connection in TIME_WAIT, at all backends. Two segments of one
    /// connection that pass each other on a busy machine count too.
    older: u64,
    /// Resets of the client.
    resets: u64,
    /// SYNs that the client sent again.
    repeated: u64,
}

impl Counts {
    fn of(lab: &Lab) -> Result<Self> {
        let older = lab.backends().iter().map(|backend| backend.namespace());
        Ok(Self {
            older: older.map(|host| brief::kernel_count(host, "TcpExt", "PAWSTimewait")).sum::<Result<_>>()?,
            resets: brief::kernel_count(lab.client(), "Tcp", "OutRsts")?,
            repeated: brief::kernel_count(lab.client(), "TcpExt", "TCPSynRetrans")?,
        })
    }

    const fn is_refusal(&self) -> bool {
        self.older > 0 && self.resets > 0 && self.repeated > 0
    }
}

/// Prints each SYN of clients, with its timestamp.
fn watch_clocks(lab: &Lab) -> Result<Process> {
    let (count, filter) = (CLOCKS.to_string(), format!("dst host {} and tcp[tcpflags] == tcp-syn", target().ip()));
    let arguments = ["-nn", "-l", "-i", "cl", "-c", &count, &filter];
    let mut watch = lab.router().spawn("tcpdump", &arguments, &lab.folder().join("clocks.log"))?;
    wait_for("tcpdump to listen", Duration::from_secs(10), || {
        ensure!(watch.try_wait()?.is_none(), "tcpdump ended: {}", watch.log_tail(5));
        Ok(watch.log_tail(5).contains("listening on").then_some(()))
    })?;
    Ok(watch)
}

/// The clocks of the first clients, whose SYNs came within a second or so: how many are behind the one before.
fn clocks_behind(mut watch: Process) -> Result<usize> {
    watch.wait(Duration::from_secs(10))?;
    let log = watch.log_tail(usize::MAX);
    let clock = |line: &str| line.split_once("TS val ")?.1.split([' ', ',']).next()?.parse::<u32>().ok();
    let clocks: Vec<_> = log.lines().filter_map(clock).collect();
    ensure!(clocks.len() == CLOCKS, "{} timestamps in {log}", clocks.len());
    // More than a minute, as the sequence space of timestamps has it: no two of one clock are as far apart here.
    let behind = |pair: &&[u32]| pair[1].wrapping_sub(pair[0]) as i32 + 60_000 < 0;
    Ok(clocks.windows(2).filter(behind).count())
}

fn print_figures(report: &BriefReport) {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| report.percentile(share));
    let (count, elapsed) = (report.connects.len(), report.elapsed);
    let rate = count as f64 / elapsed.as_secs_f64();
    println!(
        "{count} connections in {elapsed:.1?}, {rate:.0} a second; connected after p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?}"
    );
}

#[test]
fn no_client_waits_for_the_connection_of_another_one() -> Result<()> {
    if !runnable("many short connections") {
        return Ok(());
    }
    raise_file_limit()?;
    let connections = usize::try_from(number("GUIDEWAY_CONNECTIONS", 15_000)?)?;
    let rate = usize::try_from(number("GUIDEWAY_RATE", RATE_OF_BACKEND as u64)?)?;
    let backends = u8::try_from(rate.div_ceil(RATE_OF_BACKEND)).context("GUIDEWAY_RATE: too many backends")?;
    let site = Site::start(LabOptions::new().backends(backends), config)?;
    site.lab.add_crowd()?;
    let _servers = BriefServers::start(site.lab.backends(), BACKEND_PORT)?;
    let clocks = watch_clocks(&site.lab)?;
    let sources = (0..CLIENTS).map(address::crowd_v4).collect();
    let options = BriefOptions { target: target(), sources, connections, rate, patience: HANGS };
    let report = brief::run(site.lab.client(), &options)?;

    print_figures(&report);
    let counts = Counts::of(&site.lab)?;
    let mut status = site.guideway.status()?;
    let stalls = status["workers"][0]["stalls"].as_u64().context("no count of stalls")?;
    println!("{counts:?}, {} dropped", status["drops"].take());
    println!("clients kept from running for {:.1?}, workers {stalls} times", report.lag);
    let behind = clocks_behind(clocks)?;
    println!("of {CLOCKS} clients {behind} have a clock behind that of the one before");
    ensure!(behind > CLOCKS / 4, "the clients have one clock: {behind} of {CLOCKS} are behind");
    ensure!(report.failures.is_empty(), "{:#?}\n{}", report.failures, site.log());
    ensure!(report.connects.len() == connections, "{} of {connections}", report.connects.len());
    ensure!(!counts.is_refusal(), "a backend refused a SYN: {counts:?}");
    // A client that was kept from running counts that time too, and a frame for a worker that was kept may be lost.
    let slowest = report.percentile(1.0);
    let is_lost = counts.repeated > 0 && stalls > 0;
    ensure!(slowest < LIMIT + report.lag || is_lost, "a connection came about after {slowest:?}\n{}", site.log());
    Ok(())
}

/// What the test above would see if ports did not rest: a backend refuses an address and port that come back with an older
/// clock.
#[test]
fn a_backend_refuses_an_older_clock() -> Result<()> {
    if !runnable("a port that comes back") {
        return Ok(());
    }
    let lab = LabOptions::new().backends(1).build()?;
    let backend = lab.backend(1);
    let _servers = BriefServers::start(lab.backends(), BACKEND_PORT)?;
    let target = SocketAddr::new(backend.v4().into(), BACKEND_PORT);
    let client = SocketAddr::new(address::client_v4(0), 30_001);
    // 1: a clock that is shifted at random, by addresses and perhaps ports; 2: one that is not. Either is ahead, so of
    // the two changes one is to an older clock.
    for clock in ["1", "2", "1"] {
        lab.client().sysctl(&[("net.ipv4.tcp_timestamps", clock)])?;
        let connect = brief::once(lab.client(), client, target)?;
        println!("tcp_timestamps = {clock}: connected after {connect:.1?}");
    }
    let counts = Counts::of(&lab)?;
    ensure!(counts.is_refusal(), "no SYN was refused: {counts:?}");
    Ok(())
}
