//! QUIC: a connection stays on its server while its client changes address and port, and for no other reason than
//! that its connection IDs name the server.

use crate::setup::{PATIENCE, Site, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_dataplane::quic::LbConfig;
use guideway_lab::config::table;
use guideway_lab::quic::{Certificate, LbIds};
use guideway_lab::{Device, GuidewayConfig, Lab, LabOptions, QuicClients, QuicReport, QuicServer, address, runnable};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use toml::Value;

/// Connections of a case, all at the same time.
const CONNECTIONS: usize = 30;
/// Changes of address of each of them.
const MIGRATIONS: usize = 5;
/// Connections that download, and how much each.
const DOWNLOADS: usize = 6;
const DOWNLOAD_BYTES: usize = 3 << 20;
/// The port of QUIC at all VIPs.
const PORT: u16 = 443;
/// Silence after which a connection is lost that nobody expects to last: many times what an answer takes.
const LOST: Duration = Duration::from_secs(6);
/// Addresses of the client that it moves among.
const SOURCES: u8 = 8;
const KEY: [u8; 16] = *b"a key for a test";

/// The server ID lies open.
const OPEN: LbConfig = LbConfig { config_id: 2, server_id_len: 2, nonce_len: 6, key: None };
/// 16 bytes: one block.
const SINGLE: LbConfig = LbConfig { config_id: 0, server_id_len: 4, nonce_len: 12, key: Some(KEY) };
/// An odd number of bytes, in four passes.
const FOUR: LbConfig = LbConfig { config_id: 6, server_id_len: 3, nonce_len: 6, key: Some(KEY) };
/// Before and after a change of keys.
const OLD: LbConfig = LbConfig { config_id: 0, server_id_len: 2, nonce_len: 8, key: Some(KEY) };
const NEW: LbConfig = LbConfig { config_id: 1, key: Some(*b"another test key"), ..OLD };

/// A pool and its VIPs.
struct Case {
    pool: &'static str,
    vip: IpAddr,
    configs: &'static [LbConfig],
    /// The last backend that has a server ID.
    last_named: u8,
}

const PLAIN: Case = Case { pool: "plain", vip: address::vip_v4(20), configs: &[OPEN], last_named: 3 };
const ONE_PASS: Case = Case { pool: "single", vip: address::vip_v4(21), configs: &[SINGLE], last_named: 3 };
const FOUR_PASSES: Case = Case { pool: "four", vip: address::vip_v6(22), configs: &[FOUR], last_named: 3 };
const ROTATION: Case = Case { pool: "rotation", vip: address::vip_v4(23), configs: &[OLD, NEW], last_named: 3 };
const MIXED: Case = Case { pool: "mixed", vip: address::vip_v6(24), configs: &[SINGLE], last_named: 2 };
const CASES: [Case; 5] = [PLAIN, ONE_PASS, FOUR_PASSES, ROTATION, MIXED];

/// Another VIP of the pool of [`ONE_PASS`], where a packet is known by its addresses and ports alone.
const BY_FLOW: IpAddr = address::vip_v4(25);

/// A backend's server ID.
fn server_id(len: u8, backend: u8) -> Vec<u8> {
    (1..len).map(|byte| 0x0a + byte).chain([backend]).collect()
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `[[pool.quic_lb]]`.
fn quic_lb(config: &LbConfig) -> Value {
    let integer = |number: u8| Value::from(i64::from(number));
    let mut entry = table([
        ("config_id", integer(config.config_id)),
        ("server_id_len", integer(config.server_id_len)),
        ("nonce_len", integer(config.nonce_len)),
    ]);
    if let Some(key) = config.key {
        entry.insert("key".into(), digits(&key).into());
    }
    Value::Table(entry.into_iter().collect())
}

fn with_case(lab: &Lab, config: GuidewayConfig, case: &Case) -> GuidewayConfig {
    let mut config = config.pool(lab, case.pool, "l2dsr", case.vip.is_ipv6()).vip(case.vip, "quic", PORT, case.pool);
    for pool in config.pool.iter_mut().filter(|pool| pool.name == case.pool) {
        pool.more.insert("quic_lb".into(), case.configs.iter().map(quic_lb).collect::<Vec<_>>().into());
        for (backend, number) in pool.backend.iter_mut().zip(1..=case.last_named) {
            let id = server_id(case.configs[0].server_id_len, number);
            backend.insert("server_id".into(), digits(&id).into());
        }
    }
    config
}

/// All cases behind one load balancer.
fn site(device: Device, workers: &[u32]) -> Result<Site> {
    let queues = u32::try_from(workers.len())?;
    Site::start(LabOptions::new().queues(queues), |lab| {
        let config = GuidewayConfig::new(lab, device, workers);
        let config = CASES.iter().fold(config, |config, case| with_case(lab, config, case));
        patient_checks(config.vip(BY_FLOW, "udp", PORT, ONE_PASS.pool))
    })
}

/// Servers on all backends, with connection IDs of the configurations that `of` says; opaque where it says none.
fn servers<'c>(site: &Site, vips: &[IpAddr], of: impl Fn(u8) -> &'c [LbConfig]) -> Result<Vec<QuicServer>> {
    let certificate = Certificate::create(site.lab.folder())?;
    let listen: Vec<_> = vips.iter().map(|vip| SocketAddr::new(*vip, PORT)).collect();
    let start = |backend: &guideway_lab::Backend| {
        let ids = |config: &LbConfig| LbIds::new(*config, &server_id(config.server_id_len, backend.number()));
        let ids = of(backend.number()).iter().map(ids).collect::<Result<Vec<_>>>()?;
        QuicServer::start(backend, &listen, &certificate, &ids)
    };
    site.lab.backends().iter().map(start).collect()
}

fn clients(vip: IpAddr) -> QuicClients {
    let source = |n| if vip.is_ipv4() { address::client_v4(n) } else { address::client_v6(n) };
    QuicClients {
        target: SocketAddr::new(vip, PORT),
        sources: (0..SOURCES).map(source).collect(),
        connections: CONNECTIONS,
        migrations: MIGRATIONS,
        download: 0,
        patience: PATIENCE / 3,
    }
}

fn run(site: &Site, what: &str, clients: &QuicClients) -> Result<QuicReport> {
    let certificate = Certificate::in_folder(site.lab.folder());
    let report = clients.run(site.lab.client(), &certificate).with_context(|| what.to_owned())?;
    let (kept, lost) = (report.total_kept(), report.total_lost());
    println!("{what}: {kept} kept, {lost} lost, {} moves survived; {:?}", report.migrations, report.kept);
    Ok(report)
}

/// Every connection lives, and every server saw that its clients moved.
fn all_are_kept(site: &Site, what: &str, clients: &QuicClients, servers: &[QuicServer]) -> Result<()> {
    let seen = |servers: &[QuicServer]| servers.iter().map(QuicServer::moves).sum::<usize>();
    let before = seen(servers);
    let report = run(site, what, clients)?;
    ensure!(report.failures.is_empty(), "{what}: {:?}\n{}", report.failures, logs(servers));
    ensure!(report.total_kept() == clients.connections, "{what}: {report:?}");
    let moves = clients.connections * clients.migrations;
    let seen = seen(servers) - before;
    ensure!(report.migrations == moves && seen == moves, "{what}: {seen} of {moves} moves\n{}", logs(servers));
    Ok(())
}

fn logs(servers: &[QuicServer]) -> String {
    servers.iter().map(|server| server.log()).collect::<Vec<_>>().join("\n")
}

/// Clients that move between requests, and in the middle of a download.
fn migration_is_survived(site: &Site, case: &Case, servers: &[QuicServer]) -> Result<()> {
    all_are_kept(site, case.pool, &clients(case.vip), servers)?;
    let downloads = QuicClients { connections: DOWNLOADS, download: DOWNLOAD_BYTES, ..clients(case.vip) };
    all_are_kept(site, &format!("{}, downloads", case.pool), &downloads, servers)
}

/// The same servers and clients where only the flow decides: what the other cases show is not luck.
fn without_connection_ids_they_are_lost(site: &Site) -> Result<()> {
    let moving = QuicClients { patience: LOST, ..clients(BY_FLOW) };
    let report = run(site, "control, by flow", &moving)?;
    ensure!(report.total_kept() + report.total_lost() == CONNECTIONS, "not all were answered at first: {report:?}");
    ensure!(report.total_lost() > 0, "nobody was lost: {report:?}");
    // Servers and clients are as well as before: who stays in place stays connected.
    let staying = QuicClients { migrations: 0, ..clients(BY_FLOW) };
    let report = run(site, "control, by flow, in place", &staying)?;
    ensure!(report.total_kept() == CONNECTIONS, "{report:?}");
    Ok(())
}

/// A server with opaque connection IDs beside two with their own: it serves, and only its clients cannot move.
fn opaque_connection_ids(site: &Site) -> Result<()> {
    let _servers =
        servers(site, &[MIXED.vip], |backend| if backend <= MIXED.last_named { MIXED.configs } else { &[] })?;
    let staying = QuicClients { migrations: 0, ..clients(MIXED.vip) };
    let report = run(site, "mixed, in place", &staying)?;
    ensure!(report.total_kept() == CONNECTIONS && report.kept.contains_key("web3"), "{report:?}");
    let moving = QuicClients { patience: LOST, ..clients(MIXED.vip) };
    let report = run(site, "mixed", &moving)?;
    ensure!(report.total_kept() + report.total_lost() == CONNECTIONS, "not all were answered at first: {report:?}");
    let lost: Vec<_> = report.lost.keys().map(String::as_str).collect();
    ensure!(lost == ["web3"] && report.kept.contains_key("web1") && report.kept.contains_key("web2"), "{report:?}");
    Ok(())
}

fn every_case(site: &Site) -> Result<()> {
    for case in [PLAIN, FOUR_PASSES] {
        let servers = servers(site, &[case.vip], |_| case.configs)?;
        migration_is_survived(site, &case, &servers)?;
    }
    {
        let servers = servers(site, &[ONE_PASS.vip, BY_FLOW], |_| ONE_PASS.configs)?;
        migration_is_survived(site, &ONE_PASS, &servers)?;
        without_connection_ids_they_are_lost(site)?;
    }
    {
        // One has the old key, one the new one, and the third is just changing.
        let servers = servers(site, &[ROTATION.vip], |backend| match backend {
            1 => &[OLD],
            2 => &[NEW],
            _ => &[OLD, NEW],
        })?;
        migration_is_survived(site, &ROTATION, &servers)?;
    }
    opaque_connection_ids(site)
}

/// Two workers: a client that moves comes to another one, and finds its server all the same.
#[test]
fn over_af_packet_with_two_workers() -> Result<()> {
    if !runnable("QUIC migration over af_packet with two workers") {
        return Ok(());
    }
    let site = site(Device::AfPacket, &[0, 1])?;
    every_case(&site)
}

#[test]
fn over_af_xdp() -> Result<()> {
    if !runnable("QUIC migration over af_xdp") {
        return Ok(());
    }
    let site = site(Device::AfXdp, &[1])?;
    let servers = servers(&site, &[ONE_PASS.vip], |_| ONE_PASS.configs)?;
    migration_is_survived(&site, &ONE_PASS, &servers)
}
