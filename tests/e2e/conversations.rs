//! Every check that is a conversation, before real servers in one process, in both families and by both ways: what answers
//! wrongly, stops or is cut off goes down for the right reason, comes back, and a reload changes what is asked.

use crate::setup::{BINARY, PATIENCE, Site, backends_of};
use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::health::{AGENT_PORTS, DNS_PORT, GRPC_PORT};
use guideway_lab::link::End;
use guideway_lab::nginx::TLS_PORT;
use guideway_lab::process::wait_for;
use guideway_lab::{
    Certificate, Device, Guideway, GuidewayConfig, HealthServers, Lab, LabOptions, Mood, Nginx, address, runnable,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use toml::Value as Toml;

type Check = BTreeMap<String, Toml>;

/// The backend whose servers go wrong; the other one is well all the time.
const VICTIM: usize = 2;
const NAMES: [&str; 2] = ["web1", "web2"];
/// The name in the certificate that is trusted, and another one.
const NAME: &str = "shop.lab";
const OTHER_NAME: &str = "other.lab";
/// The pool whose check wants a name that the certificate has not: nobody is ever up there.
const WRONG_NAME: &str = "name";
/// Pause between two looks at the status.
const LOOK: Duration = Duration::from_millis(100);
/// Response code SERVFAIL (RFC 1035, section 4.1.1).
const SERVFAIL: u8 = 2;

/// Reasons as `status` says them.
const MISMATCH: &str = "not the expected answer";
const NOT_FOUND: &str = "HTTP status 404";
const NOT_SERVING: &str = "not serving";
const RCODE: &str = "DNS response code 2";
const TLS: &str = "TLS failed";
const AGENT: &str = "its agent says so";
const REFUSED: &str = "connection refused";
/// A port of UDP that nobody listens at, by its ICMP message.
const UNREACHABLE: &str = "destination unreachable";
/// For whatever reason.
const ANY: &str = "";

/// A check with times that a busy machine keeps.
fn check<const N: usize>(kind: &str, options: [(&str, Toml); N]) -> Check {
    let mut check = table([
        ("kind", kind.into()),
        ("interval", "400ms".into()),
        ("fast_interval", "200ms".into()),
        ("timeout", "3s".into()),
        ("fall", 2.into()),
    ]);
    check.extend(table(options));
    check
}

fn trusting<const N: usize>(kind: &str, name: &str, ca: &Certificate, options: [(&str, Toml); N]) -> Check {
    let mut check = check(kind, options);
    check.extend(table([
        ("port", i64::from(TLS_PORT).into()),
        ("sni", name.into()),
        ("verify", true.into()),
        ("ca_file", ca.file().to_string_lossy().as_ref().into()),
    ]));
    check
}

fn dns() -> Check {
    check("dns", [("port", i64::from(DNS_PORT).into()), ("name", NAME.into())])
}

/// Pools by what they ask.
fn pools(ca: &Certificate) -> Vec<(&'static str, Vec<Check>)> {
    let body = || [("path", "/health".into()), ("expect_body", "fit".into())];
    let status =
        [("port", 80.into()), ("path", "/page".into()), ("expect_status", 200.into()), ("via", "kernel".into())];
    let mut http = check("http", body());
    http.extend(table([("port", 80.into())]));
    vec![
        ("http", vec![http]),
        ("https", vec![trusting("https", NAME, ca, body())]),
        ("tls", vec![trusting("tls", NAME, ca, [])]),
        (WRONG_NAME, vec![trusting("tls", OTHER_NAME, ca, [])]),
        ("grpc", vec![check("grpc", [("port", i64::from(GRPC_PORT).into())])]),
        ("grpcs", vec![trusting("grpc", NAME, ca, [("tls", true.into())])]),
        ("dns", vec![check("icmp", []), dns()]),
        ("agent", vec![check("icmp", [])]),
        ("http-kernel", vec![check("http", status)]),
        ("icmp-kernel", vec![check("icmp", [("via", "kernel".into())])]),
    ]
}

fn family(ipv6: bool) -> &'static str {
    if ipv6 { "6" } else { "4" }
}

/// The pools in both families, each with a VIP; the agent's port is `agent`.
fn config(lab: &Lab, pools: &[(&str, Vec<Check>)], agent: u16) -> GuidewayConfig {
    let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[1]);
    for ipv6 in [false, true] {
        let vip = if ipv6 { address::vip_v6(10) } else { address::vip_v4(10) };
        for (port, (kind, checks)) in (8_000..).zip(pools) {
            let name = format!("{kind}{}", family(ipv6));
            config = config.pool(lab, &name, "l2dsr", ipv6).vip(vip, "tcp", port, &name);
            let pool = config.pool.last_mut().expect("one was added");
            pool.health.clear();
            let checks = checks.iter().map(|check| Toml::Table(check.clone().into_iter().collect()));
            pool.more.insert("health".to_owned(), Toml::Array(checks.collect()));
            if *kind == "agent" {
                let agent = [("port", i64::from(agent).into()), ("interval", "400ms".into()), ("timeout", "3s".into())];
                pool.more.insert("agent".to_owned(), Toml::Table(table(agent).into_iter().collect()));
            }
        }
    }
    config
}

/// A way of the balancer's kernel to the segment, beside the port that the dataplane owns.
fn connect_kernel(lab: &Lab) -> Result<()> {
    let balancer = lab.balancer();
    // Nobody but the new interface answers for its address.
    balancer.sysctl(&[("net.ipv4.conf.all.arp_ignore", "1")])?;
    lab.plug_in("br0", "mg", End::new(balancer, "mg0"), lab.segment_mtu())?;
    balancer.sysctl(&[("net.ipv6.conf.mg0.disable_ipv6", "0")])?;
    balancer.ip("addr add 10.0.0.2/24 dev mg0\naddr add fd00::2/64 dev mg0 nodad\n")
}

/// What runs on one backend.
struct Servers {
    web: Nginx,
    health: HealthServers,
}

impl Servers {
    fn start(lab: &Lab, number: usize, certificate: &Certificate, vips: &[IpAddr]) -> Result<Self> {
        let backend = lab.backend(number);
        let health = HealthServers::start(backend, vips)?;
        let web = Nginx::start_with_tls(backend, certificate)?;
        web.put("health", Some("I am fit.\n"))?;
        web.put("page", Some("a page\n"))?;
        Ok(Self { web, health })
    }
}

/// What `status` says, beside what is wanted: for each kind of pool the reason why the victim is down, `None` where it is up.
fn differences(status: &Value, wanted: impl Fn(&str) -> Option<&'static str>) -> Vec<String> {
    let mut differences = Vec::new();
    for pool in status["pools"].as_array().into_iter().flatten() {
        let name = pool["name"].as_str().unwrap_or_default();
        let kind = name.trim_end_matches(['4', '6']);
        for backend in backends_of(pool) {
            let wanted = match kind {
                WRONG_NAME => Some(TLS),
                _ if backend["name"] == NAMES[VICTIM - 1] => wanted(kind),
                _ => None,
            };
            let is_so = match wanted {
                Some(reason) => {
                    backend["state"] == "down" && backend["reason"].as_str().is_some_and(|is| is.contains(reason))
                }
                None => backend["state"] == "up",
            };
            if !is_so {
                let (state, reason) = (&backend["state"], &backend["reason"]);
                differences.push(format!("{name}/{}: {state} {reason}, not {wanted:?}", backend["name"]));
            }
        }
    }
    differences
}

/// Waits until all is as wanted, see [`differences`].
fn follows(guideway: &Guideway, step: &str, wanted: impl Fn(&str) -> Option<&'static str>) -> Result<()> {
    let mut last = Vec::new();
    let followed = wait_for(step, PATIENCE, || {
        last = differences(&guideway.status()?, &wanted);
        if last.is_empty() {
            return Ok(Some(()));
        }
        std::thread::sleep(LOOK);
        Ok(None)
    });
    followed.with_context(|| format!("{last:#?}\n{}", guideway.process().log_tail(30)))
}

/// Waits until the victim's agent asks for this percentage of the weight, in both families.
fn has_share(guideway: &Guideway, percent: u16) -> Result<()> {
    for ipv6 in [false, true] {
        let pool = format!("agent{}", family(ipv6));
        wait_for(&format!("{percent} % of {pool}"), PATIENCE, || {
            std::thread::sleep(LOOK);
            Ok((guideway.backend(&pool, NAMES[VICTIM - 1])?["agent_percent"] == percent).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn conversations_with_real_servers_and_a_reload_of_what_is_asked() -> Result<()> {
    if !runnable("checks of every kind over af_packet") {
        return Ok(());
    }
    let lab = Site::lab(LabOptions::new().backends(NAMES.len() as u8))?;
    connect_kernel(&lab)?;
    let [trusted, other] = [NAME, OTHER_NAME].map(|name| Certificate::create(lab.folder(), name));
    let (trusted, other) = (trusted?, other?);
    let vips = [address::vip_v4(10), address::vip_v6(10)];
    let _well = Servers::start(&lab, 1, &trusted, &vips)?;
    let mut victim = Servers::start(&lab, VICTIM, &trusted, &vips)?;
    let asked = pools(&trusted);
    let first = config(&lab, &asked, AGENT_PORTS[0]);
    let guideway = Guideway::start(&lab, Path::new(BINARY), &first)?;
    follows(&guideway, "all to be up", |_| None)?;
    let detail = guideway.backend("name6", NAMES[0])?["checks"][0]["detail"].take();
    ensure!(detail.as_str().is_some_and(|text| text.contains("not valid for name")), "{detail}");

    answers_wrongly(&guideway, &victim, &trusted, &other)?;
    victim = stops(&lab, &guideway, victim, &trusted, &vips)?;
    reloads(&lab, &guideway, &victim, &first, asked)
}

/// All servers run, and what they say is not good.
fn answers_wrongly(guideway: &Guideway, victim: &Servers, trusted: &Certificate, other: &Certificate) -> Result<()> {
    victim.web.put("health", Some("I am tired.\n"))?;
    victim.web.put("page", None)?;
    let [_, second] = Mood::default().agents;
    victim.health.set(Mood { serving: false, rcode: SERVFAIL, agents: ["down # tired".to_owned(), second] });
    follows(guideway, "wrong answers to be seen", |kind| match kind {
        "http" | "https" => Some(MISMATCH),
        "http-kernel" => Some(NOT_FOUND),
        "grpc" | "grpcs" => Some(NOT_SERVING),
        "dns" => Some(RCODE),
        "agent" => Some(AGENT),
        _ => None,
    })?;
    victim.web.put("health", Some("I am fit.\n"))?;
    victim.web.put("page", Some("a page\n"))?;
    victim.health.set(Mood::default());
    follows(guideway, "right answers to be seen", |_| None)?;
    victim.web.show(other)?;
    follows(guideway, "a certificate that nobody trusts to be seen", |kind| {
        matches!(kind, "https" | "tls" | "grpcs").then_some(TLS)
    })?;
    victim.web.show(trusted)?;
    follows(guideway, "the certificate of before to be seen", |_| None)
}

/// The servers end, then the machine is gone; all of it returns.
fn stops(lab: &Lab, guideway: &Guideway, victim: Servers, trusted: &Certificate, vips: &[IpAddr]) -> Result<Servers> {
    drop(victim);
    follows(guideway, "servers that are gone to be missed", |kind| match kind {
        // An agent that is silent changes nothing, and the machine itself answers echoes.
        "agent" | "icmp-kernel" => None,
        "dns" => Some(UNREACHABLE),
        _ => Some(REFUSED),
    })?;
    lab.backend(VICTIM).cut()?;
    follows(guideway, "a machine that is gone to be missed", |_| Some(ANY))?;
    lab.backend(VICTIM).restore()?;
    let victim = Servers::start(lab, VICTIM, trusted, vips)?;
    follows(guideway, "all to be back", |_| None)?;
    Ok(victim)
}

/// One pool gets a check, another one loses one, and the agent is asked elsewhere; then all as before.
fn reloads(
    lab: &Lab,
    guideway: &Guideway,
    victim: &Servers,
    first: &GuidewayConfig,
    mut asked: Vec<(&str, Vec<Check>)>,
) -> Result<()> {
    let [well, _] = Mood::default().agents;
    victim.health.set(Mood { serving: true, rcode: SERVFAIL, agents: [well, "40%".to_owned()] });
    follows(guideway, "the DNS server to fail", |kind| (kind == "dns").then_some(RCODE))?;
    has_share(guideway, 100)?;
    for (kind, checks) in &mut asked {
        match *kind {
            "http" => checks.push(dns()),
            "dns" => drop(checks.pop()),
            _ => {}
        }
    }
    guideway.reload(&config(lab, &asked, AGENT_PORTS[1]))?;
    follows(guideway, "what is asked anew to count", |kind| (kind == "http").then_some(RCODE))?;
    has_share(guideway, 40)?;
    let checks = guideway.backend("http4", NAMES[0])?["checks"].as_array().map(Vec::len);
    ensure!(checks == Some(2), "{checks:?}");
    guideway.reload(first)?;
    follows(guideway, "what was asked before to count", |kind| (kind == "dns").then_some(RCODE))?;
    has_share(guideway, 100)?;
    victim.health.set(Mood::default());
    follows(guideway, "all to be up at the end", |_| None)
}
