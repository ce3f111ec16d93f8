//! What the tests have in common: a lab with web servers and Guideway before them.

use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::{
    Device, Guideway, GuidewayConfig, Lab, LabOptions, Load, LoadOptions, LoadReport, Nginx, Process, address,
};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_guideway");
/// For whatever must come sooner or later on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Addresses of the client in each family.
const CLIENTS: u8 = 8;

/// A running load balancer in a lab, with a web server on every backend.
pub struct Site {
    // Dropped in this order: the lab outlives what runs in it.
    pub guideway: Guideway,
    pub servers: Vec<Nginx>,
    pub decaps: Vec<Process>,
    pub config: GuidewayConfig,
    pub lab: Lab,
}

impl Site {
    /// Builds a lab that has the machine for itself, starts everything, and waits until all backends are up.
    pub fn start(options: LabOptions, configure: impl FnOnce(&Lab) -> GuidewayConfig) -> Result<Self> {
        Self::start_with(options, &[], configure)
    }

    /// Like [`Site::start`], with further options of `run`.
    pub fn start_with(
        options: LabOptions,
        arguments: &[&str],
        configure: impl FnOnce(&Lab) -> GuidewayConfig,
    ) -> Result<Self> {
        let lab = Self::lab(options)?;
        let config = configure(&lab);
        Self::start_in(lab, config, arguments)
    }

    /// Builds a lab that has the machine for itself.
    pub fn lab(options: LabOptions) -> Result<Lab> {
        options.client_addresses(CLIENTS).exclusive().build()
    }

    /// Starts everything in a lab, and waits until all backends are up.
    pub fn start_in(lab: Lab, config: GuidewayConfig, arguments: &[&str]) -> Result<Self> {
        let servers = lab.start_nginx()?;
        let tunnels = config.pool.iter().any(|pool| pool.forward != "l2dsr");
        let decaps = lab.backends().iter().filter(|_| tunnels).map(|backend| backend.start_decap());
        let decaps = decaps.collect::<Result<_>>()?;
        let guideway = Guideway::start_with(&lab, Path::new(BINARY), &config, arguments)?;
        let site = Self { guideway, servers, decaps, config, lab };
        site.wait_until_up()?;
        Ok(site)
    }

    /// Starts the load balancer again, which must have ended before.
    pub fn start_again(&mut self, arguments: &[&str]) -> Result<()> {
        self.guideway = Guideway::start_with(&self.lab, Path::new(BINARY), &self.config, arguments)?;
        self.wait_until_up()
    }

    /// Waits until every backend has a next hop and, where it is checked, passed its checks.
    pub fn wait_until_up(&self) -> Result<()> {
        let mut last = Value::Null;
        let all_up = wait_for("all backends to be up", PATIENCE, || {
            last = self.guideway.status()?["pools"].take();
            let mut backends = last.as_array().into_iter().flatten().flat_map(backends_of);
            Ok(backends.all(is_served).then_some(()))
        });
        all_up.with_context(|| format!("{last:#}\n{}", self.log()))
    }

    /// What the load balancer wrote.
    pub fn log(&self) -> String {
        self.guideway.process().log_tail(usize::MAX)
    }

    /// Runs curl on the client; its output.
    pub fn curl(&self, arguments: &[&str]) -> Result<String> {
        let common = ["-sS", "--max-time", "60"];
        self.lab.client().exec("curl", &[&common, arguments].concat())
    }

    /// Clients with all of their addresses, at a rate that leaves a small machine air.
    pub fn load(&self, target: SocketAddr) -> Result<Load> {
        Load::start(self.lab.client(), load_options(target))
    }

    /// Sends requests until `count` were answered; nobody may have been refused.
    pub fn requests(&self, target: SocketAddr, count: u64) -> Result<LoadReport> {
        let load = self.load(target)?;
        let enough = wait_for_good(&load, count);
        let report = load.stop()?;
        ensure!(report.failures.is_empty(), "{target}: {:?}", report.failures);
        enough.with_context(|| format!("{target}"))?;
        Ok(report)
    }

    /// A site for planned changes that do not take long: slots are armed shortly, and flows of the pool may be silent for
    /// `idle`.
    pub fn of_changes(pool: &str, target: SocketAddr, idle: &str) -> Result<Self> {
        Self::start(LabOptions::new(), |lab| {
            let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[1]).pool(lab, pool, "l2dsr", false);
            config.state = Some(table([("arm_time", "200ms".into())]));
            let idle = toml::Table::from_iter([("tcp".to_owned(), idle.into())]);
            config.pool[0].more.insert("idle_timeout".to_owned(), idle.into());
            patient_checks(config.vip(target.ip(), "tcp", 80, pool))
        })
    }

    /// The digest of a pool's table.
    pub fn digest(&self, pool: &str) -> Result<String> {
        let digest = self.guideway.pool(pool)?["table_digest"].take();
        digest.as_str().map(str::to_owned).context("a pool without a digest")
    }

    /// Waits until workers use the table with this digest again: a return is a planned change, told after `up`.
    pub fn wait_for_digest(&self, pool: &str, digest: &str) -> Result<()> {
        wait_for("the table of before on all workers", PATIENCE, || {
            let status = self.guideway.status()?;
            let known = status["generation"] == status["acknowledged_generation"];
            Ok((known && self.digest(pool)? == digest).then_some(()))
        })
    }
}

/// Clients with all of their addresses, at a rate that leaves a small machine air.
pub fn load_options(target: SocketAddr) -> LoadOptions {
    let source = |n| if target.is_ipv4() { address::client_v4(n) } else { address::client_v6(n) };
    LoadOptions::new(target).clients(CLIENTS.into()).rate(200.0).sources((0..CLIENTS).map(source).collect())
}

/// Waits until `count` requests of a load were answered.
pub fn wait_for_good(load: &Load, count: u64) -> Result<()> {
    wait_for("requests to be answered", PATIENCE, || Ok((load.report().good >= count).then_some(())))
}

/// Checks that a machine busy with other things passes too: for tests that are not about health.
pub fn patient_checks(mut config: GuidewayConfig) -> GuidewayConfig {
    for pool in &mut config.pool {
        pool.health.extend(table([("interval", "100ms".into()), ("timeout", "3s".into()), ("fall", 10.into())]));
    }
    config
}

/// Gives every backend of the last pool this port.
pub fn with_port(mut config: GuidewayConfig, port: u16) -> GuidewayConfig {
    for backend in config.pool.last_mut().into_iter().flat_map(|pool| &mut pool.backend) {
        backend.insert("port".to_owned(), i64::from(port).into());
    }
    config
}

/// A number of the environment.
pub fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}: '{text}' is no number")),
        Err(_) => Ok(default),
    }
}

/// Port 80 of a VIP.
pub fn http(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 80)
}

/// The backends in the status of a pool.
pub fn backends_of(pool: &Value) -> impl Iterator<Item = &Value> {
    pool["backends"].as_array().into_iter().flatten()
}

fn is_served(backend: &Value) -> bool {
    !backend["next_hop_mac"].is_null() && (backend["check"].is_null() || backend["state"] == "up")
}
