//! A changed file, applied by SIGHUP and by command to a balancer that carries connections.

use crate::download::Download;
use crate::setup::{BINARY, PATIENCE, Site, backends_of, http, wait_for_good};
use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::{GuidewayConfig, address, runnable};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

const POOL: &str = "web";
/// T of the pool: longer than any pause of a download, also on a busy machine.
const IDLE: &str = "4s";
/// Requests that shall be answered: enough that a backend without any would be no accident.
const REQUESTS: u64 = 90;

/// Reloads in a row unless this variable says how many, and the pause after each.
const RELOADS: usize = 60;
const RELOADS_VARIABLE: &str = "GUIDEWAY_RELOADS";
const PAUSE: Duration = Duration::from_millis(250);
/// Every so many of them have a file that is bad.
const BAD: usize = 6;

fn site() -> Result<Site> {
    Site::of_changes(POOL, target(), IDLE)
}

fn target() -> SocketAddr {
    http(address::vip_v4(10))
}

/// Writes another configuration over the file.
fn write(site: &Site, config: &GuidewayConfig) -> Result<()> {
    std::fs::write(site.guideway.config_file(), config.text()?).context("cannot write the file")
}

/// Runs `guideway reload`.
fn reload(site: &Site, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(BINARY);
    command.arg("reload").args(arguments).arg("--socket").arg(site.guideway.socket());
    command.output().context("cannot run the program")
}

/// The same until new connections go where the file says; what `--json` says.
fn applied(site: &Site, arguments: &[&str]) -> Result<Value> {
    let output = reload(site, &[arguments, &["--wait", "--timeout", "60s", "--json"]].concat())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {}: {errors}\n{}", output.status, site.log());
    serde_json::from_slice(&output.stdout).context("no JSON")
}

/// Runs it for a file that is refused; the lines that say why.
fn refused(site: &Site, arguments: &[&str]) -> Result<Vec<String>> {
    let output = reload(site, arguments)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2) && output.stdout.is_empty(), "{}: {errors}", output.status);
    Ok(errors.lines().map(str::to_owned).collect())
}

/// Waits until the log says something that SIGHUP brings.
fn wait_for_log(site: &Site, part: &str, times: usize) -> Result<()> {
    let said = wait_for(part, PATIENCE, || Ok((site.log().matches(part).count() >= times).then_some(())));
    said.with_context(|| site.log())
}

fn names(site: &Site) -> Result<Vec<String>> {
    let pool = site.guideway.pool(POOL)?;
    Ok(backends_of(&pool).filter_map(|backend| backend["name"].as_str().map(str::to_owned)).collect())
}

#[test]
fn a_changed_file_is_applied_and_connections_stay() -> Result<()> {
    if !runnable("a reload") {
        return Ok(());
    }
    let site = site()?;
    let first = site.config.clone();
    let digest = site.digest(POOL)?;
    let downloads = Download::from_each(&site.lab, target())?;

    // By SIGHUP: one backend gets more, another one leaves.
    let mut changed = first.clone();
    changed.pool[0].backend[0].insert("weight".to_owned(), 3.into());
    changed.pool[0].backend.remove(2);
    site.guideway.reload(&changed)?;
    wait_for_log(&site, "reload: applied", 1)?;
    let log = site.log();
    for part in ["pool web: backend web1: weight 1 -> 3", "pool web: backend web3 leaves"] {
        ensure!(log.contains(part), "no {part:?} in {log}");
    }
    let nothing = applied(&site, &[])?;
    ensure!(nothing["changes"] == Value::Array(Vec::new()), "{nothing:#}");
    let report = site.requests(target(), REQUESTS)?;
    ensure!(!report.by_backend.contains_key("web3"), "{:?}", report.by_backend);
    ensure!(report.by_backend["web1"] > report.by_backend["web2"], "{:?}", report.by_backend);
    assert_eq!(names(&site)?, ["web1", "web2", "web3"], "somebody downloads from web3");

    // A bad file and a refused one change nothing.
    let text = changed.text()?;
    std::fs::write(site.guideway.config_file(), format!("{text}\nweigth = 5\n"))?;
    let lines = refused(&site, &[])?;
    let place = format!("{}:{}:1: error: ", site.guideway.config_file().display(), text.lines().count() + 2);
    ensure!(lines.len() == 1 && lines[0].starts_with(&place) && lines[0].contains("weigth"), "{place}: {lines:?}");
    let mut larger = changed.clone();
    larger.pool[0].more.insert("table_size".to_owned(), 4093.into());
    larger.pool[0].backend[1].insert("weight".to_owned(), 9.into());
    site.guideway.reload(&larger)?;
    wait_for_log(&site, "reload: refused; nothing changed", 1)?;
    let lines = refused(&site, &["--dry-run"])?;
    ensure!(lines.len() == 1 && lines[0].contains("pool web: its table_size changes from 2039 to 4093"), "{lines:?}");
    let pool = site.guideway.pool(POOL)?;
    ensure!(pool["table_size"] == 2039 && site.guideway.backend(POOL, "web2")?["weight"] == 1, "{pool:#}");

    // By command: all as it was.
    write(&site, &first)?;
    let outcome = applied(&site, &[])?;
    assert_eq!(outcome["changes"].as_array().map(Vec::len), Some(2), "{outcome:#}");
    assert_eq!(site.digest(POOL)?, digest);
    let report = site.requests(target(), REQUESTS)?;
    assert_eq!(report.by_backend.len(), 3, "{:?}", report.by_backend);
    for (name, download) in downloads {
        ensure!(download.is_under_way(), "the download from {name} ended too early to say anything");
        download.finish().with_context(|| format!("the download from {name}\n{}", site.log()))?;
    }

    // What breaks connections, since it is asked for.
    write(&site, &larger)?;
    let outcome = applied(&site, &["--disruptive"])?;
    ensure!(outcome["disruptive"] == true && outcome["applied"] == true, "{outcome:#}");
    assert_eq!(site.guideway.pool(POOL)?["table_size"], 4093);
    assert_eq!(names(&site)?, ["web1", "web2"]);
    let report = site.requests(target(), REQUESTS)?;
    ensure!(
        report.by_backend.len() == 2 && report.by_backend["web2"] > report.by_backend["web1"],
        "{:?}",
        report.by_backend
    );
    Ok(())
}

/// The file of one of many reloads: weights, a backend, a VIP with a pool of its own before the other one, each in a rhythm
/// of its own. `web1` and `web2` serve in all of them.
fn variant(site: &Site, round: usize) -> GuidewayConfig {
    let mut config = site.config.clone();
    let web = &mut config.pool[0];
    web.backend[round % 2].insert("weight".to_owned(), (1 + (round % 5) as i64).into());
    if round % 3 == 1 {
        web.backend.remove(2);
    }
    if round % 4 > 1 {
        let name = format!("more{}", round % 8);
        let mut more = config.pool[0].clone();
        more.name.clone_from(&name);
        more.health = table([("kind", "none".into())]);
        config.pool.insert(0, more);
        config = config.vip(address::vip_v4(11), "tcp", 80, &name);
    }
    config
}

/// Resident memory of the load balancer in KiB.
fn memory(site: &Site) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", site.guideway.process().id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().context("no number")
}

/// How many reloads in a row there are to be.
fn reloads() -> Result<usize> {
    let Some(text) = std::env::var_os(RELOADS_VARIABLE) else { return Ok(RELOADS) };
    let count = text.to_str().and_then(|text| text.parse::<usize>().ok()).filter(|count| *count >= BAD);
    count.with_context(|| format!("{RELOADS_VARIABLE} is {text:?}: write a number, {BAD} or more"))
}

#[test]
fn many_reloads_under_load_lose_nothing() -> Result<()> {
    if !runnable("many reloads") {
        return Ok(());
    }
    let site = site()?;
    let digest = site.digest(POOL)?;
    let downloads = Download::from_each(&site.lab, target())?;
    let load = site.load(target())?;
    wait_for_good(&load, 50)?;
    let (reloads, start) = (reloads()?, memory(&site)?);
    let (mut early, mut middle) = (0, 0);
    for round in 0..reloads {
        let config = variant(&site, round);
        if round % BAD == BAD - 1 {
            let text = config.text()?;
            std::fs::write(site.guideway.config_file(), format!("{text}\nweigth = 5\n"))?;
            let lines = refused(&site, &[])?;
            ensure!(lines.len() == 1 && lines[0].contains("weigth"), "{lines:?}");
        } else {
            write(&site, &config)?;
            let output = reload(&site, &[])?;
            ensure!(output.status.success(), "{round}: {}", String::from_utf8_lossy(&output.stderr));
            let status = site.guideway.status()?;
            let vips = status["vips"].as_array().map_or(0, Vec::len);
            ensure!(vips == config.vip.len(), "{round}: {vips} VIPs\n{}", site.log());
        }
        if round == reloads / 4 {
            early = memory(&site)?;
        }
        if round == reloads / 2 {
            middle = memory(&site)?;
        }
        std::thread::sleep(PAUSE);
    }
    let late = memory(&site)?;
    println!(
        "resident memory in KiB over {reloads} reloads: start {start}, a quarter {early}, half {middle}, end {late}"
    );
    ensure!(late < early + early / 4, "memory grows: {early} KiB, then {late} KiB");
    write(&site, &site.config)?;
    applied(&site, &[])?;
    assert_eq!(site.digest(POOL)?, digest);
    let report = load.stop()?;
    ensure!(report.failures.is_empty(), "{:?}\n{}", report.failures, site.log());
    for (name, download) in downloads {
        download.finish().with_context(|| format!("the download from {name}\n{}", site.log()))?;
    }
    Ok(())
}

#[test]
fn a_new_vip_serves_and_one_that_is_gone_does_not() -> Result<()> {
    if !runnable("a VIP that comes and goes") {
        return Ok(());
    }
    let site = site()?;
    let second = http(address::vip_v4(11));
    write(&site, &site.config.clone().vip(second.ip(), "tcp", 80, POOL))?;
    applied(&site, &[])?;
    site.requests(second, REQUESTS)?;
    let packets = |place: usize| Ok::<_, anyhow::Error>(site.guideway.status()?["vips"][place]["packets"].clone());
    let counted = packets(0)?;
    ensure!(packets(1)?.as_u64() > Some(REQUESTS), "{}", packets(1)?);
    write(&site, &site.config)?;
    applied(&site, &[])?;
    assert_eq!(packets(0)?, counted, "what stays counts on");
    let url = format!("http://{second}/");
    ensure!(site.lab.client().exec("curl", &["-sS", "--max-time", "2", &url]).is_err(), "nobody answers there");
    site.requests(target(), REQUESTS)?;
    Ok(())
}
