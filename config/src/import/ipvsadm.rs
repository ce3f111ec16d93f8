//! What `ipvsadm-save -n` prints: a line for each service and each real server, in the options of ipvsadm(8).

use super::model::{Backend, Forward, Found, Health, Pool, Ports, Vip};
use super::time::seconds;
use std::collections::HashMap;
use std::iter::Peekable;
use std::net::{IpAddr, SocketAddr};
use std::str::SplitWhitespace;
use std::time::Duration;

/// Persistence without a number (ipvsadm(8), -p).
const PERSISTENCE: Duration = Duration::from_secs(300);
/// The window of a client whose address alone decides: the default of `affinity_window`.
const WINDOW: Duration = Duration::from_secs(900);

/// The options of one line. Which of them a line may have, ipvsadm saw to.
#[derive(Default)]
struct Line<'a> {
    /// Protocol and service, as written.
    service: Option<(&'static str, &'a str)>,
    server: Option<&'a str>,
    scheduler: Option<&'a str>,
    flags: Option<&'a str>,
    persistence: Option<Duration>,
    netmask: Option<&'a str>,
    weight: Option<&'a str>,
    forward: Option<Forward>,
    tunnel: Option<&'a str>,
    tunnel_port: Option<&'a str>,
    others: Vec<&'a str>,
}

type Words<'a> = Peekable<SplitWhitespace<'a>>;

pub(super) fn read(text: &str, found: &mut Found) {
    // Services by what the lines of their servers repeat.
    let mut pools = HashMap::new();
    for (number, text) in (1..).zip(text.lines()) {
        let mut words = text.split_whitespace().peekable();
        words.next_if(|word| word.ends_with("ipvsadm"));
        match words.next() {
            Some("-A" | "--add-service") => service(number, &Line::read(&mut words), &mut pools, found),
            Some("-a" | "--add-server") => server(number, &Line::read(&mut words), &pools, found),
            None => {}
            Some(word) if word.starts_with('#') => {}
            Some(_) => found.note(number, text.trim(), "it is no line of ipvsadm-save", "remove it"),
        }
    }
}

impl<'a> Line<'a> {
    fn read(words: &mut Words<'a>) -> Self {
        let mut line = Self::default();
        while let Some(word) = words.next() {
            match word {
                "-t" | "--tcp-service" => line.service = words.next().map(|service| ("tcp", service)),
                "-u" | "--udp-service" => line.service = words.next().map(|service| ("udp", service)),
                "--sctp-service" => line.service = words.next().map(|service| ("sctp", service)),
                "-f" | "--fwmark-service" => line.service = words.next().map(|service| ("fwmark", service)),
                "-r" | "--real-server" => line.server = words.next(),
                "-s" | "--scheduler" => line.scheduler = words.next(),
                "-b" | "--sched-flags" => line.flags = words.next(),
                "-M" | "--netmask" => line.netmask = words.next(),
                "-w" | "--weight" => line.weight = words.next(),
                "-g" | "--gatewaying" => line.forward = Some(Forward::L2dsr),
                "-i" | "--ipip" => line.forward = Some(Forward::Ipip),
                "-m" | "--masquerading" => line.forward = Some(Forward::Nat),
                "--tun-type" => line.tunnel = words.next(),
                "--tun-port" => line.tunnel_port = words.next(),
                "-p" | "--persistent" => {
                    let time = words.next_if(|word| !word.starts_with('-'));
                    line.persistence = Some(time.and_then(seconds).unwrap_or(PERSISTENCE));
                }
                "-6" | "--ipv6" => {}
                other => {
                    line.others.push(other);
                    words.next_if(|word| !word.starts_with('-'));
                }
            }
        }
        line
    }
}

/// `ADDRESS:PORT`, the address in brackets if it is IPv6; without a port, it is 0.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let whole = text.parse::<SocketAddr>().ok().map(|socket| (socket.ip(), socket.port()));
    whole.or_else(|| text.trim_matches(['[', ']']).parse().ok().map(|address| (address, 0)))
}

type Pools<'a> = HashMap<(&'static str, &'a str), usize>;

fn service<'a>(number: usize, line: &Line<'a>, pools: &mut Pools<'a>, found: &mut Found) {
    let Some((kind, service)) = line.service else {
        return found.note(number, "-A", "it names no service", "remove the line");
    };
    let what = format!("{kind} service {service}");
    let vip = match (kind, endpoint(service)) {
        ("sctp", _) => {
            return found.note(number, what, "Guideway forwards TCP and UDP", "leave this service where it is");
        }
        ("fwmark", _) => {
            let instead = "write a [[vip]] with the pool's name for each address and port that gets the mark";
            found.note(number, &what, "a firewall mark names no address; the pool is there, without a VIP", instead);
            None
        }
        (protocol, Some((address, port))) => Some((protocol, address, port)),
        (_, None) => {
            return found.note(
                number,
                what,
                "it is not an address and a port",
                "save it with numbers: ipvsadm-save -n",
            );
        }
    };
    let wanted = match vip {
        Some((protocol, address, port)) => format!("{protocol}-{address}-{port}"),
        None => format!("fwmark-{service}"),
    };
    let mut pool = Pool::new(found.pool_name(&wanted), number, Forward::Nat);
    if let Some((protocol, address, port)) = vip {
        let ports = if port == 0 { Ports::Any } else { Ports::One(port) };
        if protocol == "udp" || port == 0 {
            pool.health = Some(Health::of("none"));
            let why = "a check needs a TCP port, and the source has no checks";
            found.note(number, what, why, "set `health` of the pool to what its backends answer");
        }
        let affinity = affinity(line);
        found.vips.push(Vip { address, protocol, ports, pool: pool.name.clone(), affinity });
    }
    options(number, line, found);
    pools.insert((kind, service), found.pools.len());
    found.pools.push(pool);
}

/// How long a client stays on its backend: by persistence, or since the scheduler hashes its address alone.
fn affinity(line: &Line<'_>) -> Option<Duration> {
    let with_port = line.flags.is_some_and(|flags| flags.split(',').any(|flag| flag.ends_with("-port")));
    let by_address = matches!(line.scheduler, Some("sh" | "mh")) && !with_port;
    line.persistence.or(by_address.then_some(WINDOW))
}

fn options(number: usize, line: &Line<'_>, found: &mut Found) {
    if let Some(scheduler) = line.scheduler.filter(|name| !matches!(*name, "sh" | "mh" | "rr" | "wrr")) {
        let instead = "give backends weights that fit their strength";
        found.note(
            number,
            format!("-s {scheduler}"),
            "Guideway chooses by consistent hashing, by weights alone",
            instead,
        );
    }
    if let Some(mask) = line.netmask {
        let why = "affinity is by the client's whole address";
        found.note(number, format!("-M {mask}"), why, "nothing, if clients keep their address");
    }
    unknown(number, line, found);
}

fn unknown(number: usize, line: &Line<'_>, found: &mut Found) {
    for option in &line.others {
        let (why, instead) = match *option {
            "-x" | "--u-threshold" | "-y" | "--l-threshold" => {
                ("Guideway counts no connections of a backend", "let the backend limit its connections")
            }
            "-o" | "--ops" => ("Guideway has no scheduling by packet", "nothing: flows are spread by hash"),
            "--pe" => ("Guideway reads nothing above the ports", "use QUIC connection IDs, or affinity = \"client\""),
            _ => ("Guideway has no such option", "see docs/configuration.md"),
        };
        found.note(number, *option, why, instead);
    }
}

fn server(number: usize, line: &Line<'_>, pools: &Pools<'_>, found: &mut Found) {
    let Some(&index) = line.service.as_ref().and_then(|service| pools.get(service)) else {
        let what = format!("real server {}", line.server.unwrap_or("without an address"));
        return found.note(number, what, "its service was not carried over", "see the note on the service");
    };
    let Some((address, port)) = line.server.and_then(endpoint) else {
        let what = format!("real server {}", line.server.unwrap_or("without an address"));
        return found.note(number, what, "it is not an address and a port", "save it with numbers: ipvsadm-save -n");
    };
    unknown(number, line, found);
    let forward = mode(line);
    let gue_port = line.tunnel_port.and_then(|port| port.parse().ok()).filter(|_| forward == Forward::Gue);
    let weight = line.weight.map_or(Some(1), |weight| weight.parse().ok());
    if weight.is_none() {
        found.note(number, format!("-w {}", line.weight.unwrap_or("")), "weights are 0 to 65535", "it is 65535 now");
    }
    let Some(pool) = found.pools.get_mut(index) else { return };
    if pool.backends.is_empty() {
        (pool.forward, pool.gue_port) = (forward, gue_port);
    }
    let differs = (pool.forward, pool.gue_port) != (forward, gue_port);
    let port = (port != 0).then_some(port);
    let weight = weight.unwrap_or(u16::MAX);
    pool.backends.push(Backend { line: number, name: None, address, weight, priority: 0, port });
    let of_pool = pool.forward.word();
    if differs {
        let why = format!("backends of a pool are reached in one way, and the first one says \"{of_pool}\"");
        found.note(
            number,
            format!("real server {address} by \"{}\"", forward.word()),
            why,
            "set it up like the others",
        );
    }
}

/// Without an option it is gatewaying; a tunnel is IPIP without a type (ipvsadm(8)).
fn mode(line: &Line<'_>) -> Forward {
    match (line.forward.unwrap_or(Forward::L2dsr), line.tunnel) {
        (Forward::Ipip, Some("gue")) => Forward::Gue,
        (Forward::Ipip, Some("gre")) => Forward::Gre,
        (forward, _) => forward,
    }
}
