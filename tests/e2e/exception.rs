//! The exception path: the kernel lives on Guideway's port, by a TAP device, beside VIPs.

use crate::setup::{BINARY, PATIENCE, Site, backends_of, http, load_options, patient_checks, wait_for_good};
use crate::transfer::noise;
use anyhow::{Context, Result, bail, ensure};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::{Device, Guideway, GuidewayConfig, Lab, LabOptions, Load, Namespace, address, ping, runnable};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The TAP device of the port `edge`.
const TAP: &str = "gw-edge";
/// Packets a second for the kernel.
const RATE: u32 = 2_000;
/// Bytes that go over a connection and come back.
const BYTES: usize = 300_000;
/// A port on which nothing of Guideway's is.
const SERVICE: u16 = 2222;
/// How long the flood lasts, and its datagrams in a hundredth of a second: four times the rate.
const FLOOD: Duration = Duration::from_secs(4);
const FLOOD_BATCH: u32 = 4 * RATE / 100;

fn configure(lab: &Lab, device: Device) -> GuidewayConfig {
    let mut config = GuidewayConfig::new(lab, device, &[1])
        .pool(lab, "direct4", "l2dsr", false)
        .pool(lab, "direct6", "l2dsr", true)
        .vip(address::vip_v4(10), "tcp", 80, "direct4")
        .vip(address::vip_v6(10), "tcp", 80, "direct6");
    config.exception = Some(table([("rate", i64::from(RATE).into())]));
    patient_checks(config)
}

/// What an operator does once the device is there: the port's addresses, and the way out. With af_packet the kernel
/// receives all frames by the port's interface, too, and must not take them there.
fn give_addresses(lab: &Lab) -> Result<()> {
    let own = format!("net.ipv6.conf.{TAP}.disable_ipv6");
    lab.balancer().sysctl(&[("net.ipv4.conf.gw0.rp_filter", "1"), (&own, "0")])?;
    lab.balancer().ip(&format!(
        "addr add {}/24 dev {TAP}\naddr add {}/64 dev {TAP} nodad\n\
         route add default via {}\nroute add default via {} dev {TAP}\n",
        address::BALANCER_V4,
        address::BALANCER_V6,
        address::ROUTER_V4,
        address::ROUTER_V6
    ))
}

/// Accepts one connection at `address` in a namespace, and sends back all that comes until the other side has no more.
fn echo_once(host: &Namespace, address: SocketAddr) -> Result<JoinHandle<Result<()>>> {
    let listener = host.enter(|| TcpListener::bind(address))?.with_context(|| format!("cannot listen on {address}"))?;
    Ok(std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().context("no connection")?;
        stream.set_read_timeout(Some(PATIENCE)).context("cannot set a timeout")?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).context("cannot read")?;
        stream.write_all(&all).context("cannot answer")
    }))
}

/// Connects from one host to a server on another, and has all that it sends sent back.
fn talk(from: &Namespace, to: &Namespace, address: SocketAddr) -> Result<()> {
    let server = echo_once(to, address)?;
    let mut stream = from
        .enter(|| TcpStream::connect_timeout(&address, PATIENCE))?
        .with_context(|| format!("no way to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE)).context("cannot set a timeout")?;
    let sent = noise(BYTES);
    stream.write_all(&sent).with_context(|| format!("cannot send to {address}"))?;
    stream.shutdown(Shutdown::Write).context("cannot close")?;
    let mut got = Vec::new();
    stream.read_to_end(&mut got).with_context(|| format!("no answer of {address}"))?;
    ensure!(got == sent, "{address}: {} bytes came back of {BYTES}", got.len());
    match server.join() {
        Ok(result) => result,
        Err(_) => bail!("the server at {address} panicked"),
    }
}

/// Datagrams to an own address where nobody listens, far beyond the rate.
fn flood(lab: &Lab) -> Result<()> {
    let socket = lab.client().enter(|| UdpSocket::bind((address::client_v4(0), 0)))?.context("no socket")?;
    let begun = Instant::now();
    while begun.elapsed() < FLOOD {
        for _ in 0..FLOOD_BATCH {
            // What the socket's buffer does not take is lost, as anywhere on the way.
            let _ = socket.send_to(&[0; 64], (address::BALANCER_V4, 9));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What `status` says of the TAP device.
fn tap(status: &Value) -> &Value {
    &status["exception"][0]
}

/// State of every backend, and since when.
fn states(status: &Value) -> Vec<(String, String, Option<f64>)> {
    let pools = status["pools"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    pools
        .flat_map(|pool| backends_of(pool).map(move |backend| (text(&pool["name"]), backend)))
        .map(|(pool, backend)| {
            (format!("{pool}/{}", text(&backend["name"])), text(&backend["state"]), backend["since_unix"].as_f64())
        })
        .collect()
}

/// The kernel pings, is reached and connects, in both families, while clients are served by VIPs.
fn the_kernel_is_at_home(site: &Site) -> Result<()> {
    let (lab, client) = (&site.lab, site.lab.client());
    let ways: [(IpAddr, IpAddr, IpAddr); 2] = [
        (address::BALANCER_V4.into(), address::client_v4(0), address::ROUTER_V4.into()),
        (address::BALANCER_V6.into(), address::client_v6(0), address::ROUTER_V6.into()),
    ];
    for (own, client_address, router) in ways {
        // Guideway answers this one, and the kernel's own requests get their answers.
        ping(client, own).with_context(|| format!("{own}"))?;
        ping(lab.balancer(), router).with_context(|| format!("{router} from the kernel"))?;
        talk(client, lab.balancer(), SocketAddr::new(own, SERVICE))?;
        talk(lab.balancer(), client, SocketAddr::new(client_address, SERVICE))?;
    }
    let status = site.guideway.status()?;
    for count in ["to_kernel", "from_kernel"] {
        ensure!(tap(&status)[count].as_u64() > Some(100), "{:#}", tap(&status));
    }
    ensure!(tap(&status)["device"] == TAP && tap(&status)["port"] == "edge", "{:#}", tap(&status));
    let text = site.guideway.control(&["status"])?;
    ensure!(text.contains(&format!("exception path of edge ({TAP}): ")), "{text}");
    Ok(())
}

/// The flood is cut to the rate; backends keep their state, clients their answers, and the kernel is still there.
fn a_flood_harms_nobody(site: &Site, load: &Load) -> Result<()> {
    let before = site.guideway.status()?;
    let good = load.report().good;
    flood(&site.lab)?;
    wait_for_good(load, good + 100)?;
    let after = site.guideway.status()?;
    assert_eq!(states(&after), states(&before));
    ensure!(states(&after).iter().all(|(_, state, _)| state == "up"), "{:?}", states(&after));
    let limited = |status: &Value| {
        let of_worker = status["drops"]["punt_rate_limited"].as_u64().unwrap_or_default();
        of_worker + tap(status)["to_kernel_drops"]["rate_limited"].as_u64().unwrap_or_default()
    };
    ensure!(limited(&after) > limited(&before) + u64::from(RATE), "{:#} {:#}", tap(&after), after["drops"]);
    talk(site.lab.client(), site.lab.balancer(), SocketAddr::new(address::BALANCER_V4.into(), SERVICE))
}

/// While clients of VIPs are served, the kernel is at home on the port; a flood to it changes nothing.
fn beside_vips(device: Device) -> Result<()> {
    let mut site = Site::start(LabOptions::new(), |lab| configure(lab, device))?;
    give_addresses(&site.lab)?;
    let load = |vip| Load::start(site.lab.client(), load_options(http(vip)).rate(50.0));
    let loads = [load(address::vip_v4(10))?, load(address::vip_v6(10))?];
    let all = the_kernel_is_at_home(&site).and_then(|()| a_flood_harms_nobody(&site, &loads[0]));
    all.with_context(|| format!("{}\n{}", site.guideway.control(&["status"]).unwrap_or_default(), site.log()))?;
    for load in loads {
        wait_for_good(&load, 50)?;
        let report = load.stop()?;
        ensure!(report.failures.is_empty(), "{:?}", report.failures);
    }
    ensure!(site.guideway.terminate()?.success(), "{}", site.log());
    ensure!(site.log().contains("every packet buffer is accounted for"), "{}", site.log());
    ensure!(!has_device(&site.lab)?, "the TAP device is gone with the process");
    Ok(())
}

#[test]
fn the_kernel_lives_beside_vips_over_af_packet() -> Result<()> {
    if !runnable("the exception path over af_packet") {
        return Ok(());
    }
    beside_vips(Device::AfPacket)
}

#[test]
fn the_kernel_lives_beside_vips_over_af_xdp() -> Result<()> {
    if !runnable("the exception path over af_xdp") {
        return Ok(());
    }
    beside_vips(Device::AfXdp)
}

fn has_device(lab: &Lab) -> Result<bool> {
    Ok(lab.balancer().exec("ip", &["-brief", "link"])?.contains(TAP))
}

#[test]
fn a_device_of_that_name_is_refused_or_taken_over() -> Result<()> {
    if !runnable("names of TAP devices") {
        return Ok(());
    }
    let lab = Site::lab(LabOptions::new().backends(1))?;
    let config = configure(&lab, Device::AfXdp);
    lab.balancer().ip(&format!("link add {TAP} type veth peer name other"))?;
    let Err(error) = Guideway::start(&lab, Path::new(BINARY), &config) else { bail!("it started") };
    let text = format!("{error:#}");
    ensure!(text.contains("an interface of that name exists") && text.contains("`prefix`"), "{text}");
    // A persistent TAP device keeps its addresses, whether Guideway runs or not.
    lab.balancer().ip(&format!("link del {TAP}\ntuntap add dev {TAP} mode tap\nlink set {TAP} up"))?;
    give_addresses(&lab)?;
    for _ in 0..2 {
        let mut guideway = Guideway::start(&lab, Path::new(BINARY), &config)?;
        wait_for("the kernel to reach the router", PATIENCE, || {
            Ok(ping(lab.balancer(), address::ROUTER_V4.into()).ok())
        })?;
        ensure!(guideway.terminate()?.success(), "{}", guideway.process().log_tail(30));
        ensure!(has_device(&lab)?, "it was there before, and stays");
    }
    Ok(())
}
