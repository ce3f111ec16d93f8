//! What each kind of check asks, and which keys of `health` it knows.

use crate::model::{CheckKind, Dns, Grpc, Http, Tls, Udp};
use crate::names::quote;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::scalar::{self, Fault};
use crate::schema;
use std::net::IpAddr;
use std::path::PathBuf;

/// Keys of every check.
const COMMON: &[&str] =
    &["kind", "interval", "fast_interval", "timeout", "rise", "fall", "via", "probe_source", "dead_after"];
const PORT: &[&str] = &["port"];
const HTTP: &[&str] = &["path", "host", "method", "expect_status", "expect_body"];
const TLS: &[&str] = &["sni", "verify", "ca_file"];
const UDP: &[&str] = &["send", "send_hex", "expect", "expect_hex"];
const DNS: &[&str] = &["name", "type", "expect_rcode"];
const GRPC: &[&str] = &["service", "host", "tls"];

/// The longest datagram that a probe sends: it fits into any path of IPv6, also inside a tunnel.
const LONGEST_DATAGRAM: usize = 1_024;
/// The longest path or text that is looked for.
const LONGEST_TEXT: usize = 1_024;

/// A kind of check as the file has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Tcp,
    Http,
    Https,
    Tls,
    Udp,
    Dns,
    Icmp,
    Grpc,
}

impl Kind {
    const ALL: [Self; 9] =
        [Self::Tcp, Self::None, Self::Http, Self::Https, Self::Tls, Self::Udp, Self::Dns, Self::Icmp, Self::Grpc];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Tls => "tls",
            Self::Udp => "udp",
            Self::Dns => "dns",
            Self::Icmp => "icmp",
            Self::Grpc => "grpc",
        }
    }

    pub(crate) fn read(value: Value<'_>, report: &mut Report) -> Option<Self> {
        let words = Self::ALL.map(|kind| (kind.word(), Ok(kind)));
        value.word(&words, report).map(|kind| kind.value)
    }

    /// Groups of keys beside the common ones.
    const fn keys(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::None | Self::Icmp => &[],
            Self::Tcp => &[PORT],
            Self::Http => &[PORT, HTTP],
            Self::Https => &[PORT, HTTP, TLS],
            Self::Tls => &[PORT, TLS],
            Self::Udp => &[PORT, UDP],
            Self::Dns => &[PORT, DNS],
            Self::Grpc => &[PORT, GRPC, TLS],
        }
    }

    fn knows(self, key: &str) -> bool {
        COMMON.contains(&key) || self.keys().iter().any(|group| group.contains(&key))
    }

    /// Whether its probes are TCP: then they can take the port of a TCP VIP.
    pub(crate) const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::Http | Self::Https | Self::Tls | Self::Grpc)
    }

    /// Whether its probes have a port.
    pub(crate) const fn has_port(self) -> bool {
        !matches!(self, Self::None | Self::Icmp)
    }
}

/// Reports keys that this kind has no use for. `none` has use for none, and says so more mildly: it is written to switch
/// checks off for a while.
pub(crate) fn check_keys(kind: Kind, health: &mut Reader<'_>, report: &mut Report) {
    for key in schema::HEALTH.built().filter(|key| *key != "kind") {
        let Some(value) = health.get(key) else { continue };
        if kind == Kind::None {
            report.warning(value.at, format!("`{key}` has no effect with kind = \"none\""));
        } else if !kind.knows(key) {
            let of: Vec<&str> = Kind::ALL.iter().filter(|kind| kind.knows(key)).map(|kind| kind.word()).collect();
            report
                .error(value.at, format!("`{key}` has no meaning with kind = \"{}\"", kind.word()))
                .help(format!("remove it, or use a kind that knows it: {}", of.join(", ")));
        }
    }
}

/// What a check of this kind asks; `None` if that was refused, or for `none`.
pub(crate) fn read(kind: Kind, health: &mut Reader<'_>, report: &mut Report) -> Option<CheckKind> {
    match kind {
        Kind::None => None,
        Kind::Tcp => Some(CheckKind::Tcp),
        Kind::Icmp => Some(CheckKind::Icmp),
        Kind::Http => http(health, report).map(CheckKind::Http),
        Kind::Https => {
            let http = http(health, report);
            let name = http.as_ref().and_then(|http| http.host.as_deref()).and_then(host_name);
            let tls = tls(health, name, report);
            Some(CheckKind::Https(http?, tls?))
        }
        Kind::Tls => tls(health, None, report).map(CheckKind::Tls),
        Kind::Udp => udp(health, report).map(CheckKind::Udp),
        Kind::Dns => dns(health, report).map(CheckKind::Dns),
        Kind::Grpc => grpc(health, report).map(CheckKind::Grpc),
    }
}

fn http(health: &mut Reader<'_>, report: &mut Report) -> Option<Http> {
    let path = optional(health, "path", path, report);
    let host = optional(health, "host", authority, report);
    let method = match health.get("method") {
        Some(value) => value
            .word(&[("GET", Ok("GET")), ("HEAD", Ok("HEAD")), ("OPTIONS", Ok("OPTIONS"))], report)
            .map(|method| method.value),
        None => Some("GET"),
    };
    let expect_status = match health.get("expect_status") {
        Some(value) => statuses(value, report),
        None => Some(vec![(200, 399)]),
    };
    let expect_body = optional(health, "expect_body", text, report);
    if method == Some("HEAD")
        && let Some(Some(body)) = &expect_body
    {
        report
            .error(body.at, "`expect_body` cannot be met: the answer to HEAD has no body")
            .help("remove one of the two");
        return None;
    }
    Some(Http {
        method: method?,
        path: path?.map_or_else(|| "/".to_owned(), |path| path.value),
        host: host?.map(|host| host.value),
        expect_status: expect_status?,
        expect_body: expect_body?.map(|body| body.value),
    })
}

/// `name`: the host of the request, if it is one, which is asked for unless `sni` says otherwise.
fn tls(health: &mut Reader<'_>, name: Option<String>, report: &mut Report) -> Option<Tls> {
    let sni = optional(health, "sni", server_name, report);
    let ca_file = optional(health, "ca_file", file, report);
    let verify = match health.get("verify") {
        Some(value) => value.boolean(report).map(|verify| Some(Located { at: value.at, value: verify })),
        None => Some(None),
    };
    let (sni, ca_file, verify) = (sni?.map(|sni| sni.value).or(name), ca_file?, verify?);
    let verifies = verify.map_or(ca_file.is_some(), |verify| verify.value);
    if let (false, Some(file)) = (verifies, &ca_file) {
        report.warning(file.at, "`ca_file` has no effect with verify = false");
    }
    if verifies && sni.is_none() {
        let at = verify.map(|verify| verify.at).or(ca_file.map(|file| file.at)).unwrap_or(health.at);
        report
            .error(at, "a certificate is to be verified, and there is no name for it")
            .help("set `sni` to the name that clients use");
        return None;
    }
    Some(Tls { sni, verify: verifies, ca_file: ca_file.map(|file| file.value) })
}

fn udp(health: &mut Reader<'_>, report: &mut Report) -> Option<Udp> {
    let send = payload(health, "send", "send_hex", report);
    let expect = payload(health, "expect", "expect_hex", report);
    let (send, expect) = (send?, expect?);
    let Some(send) = send else {
        report
            .error(health.at, "health lacks the key `send` for kind = \"udp\"")
            .help("write what is sent as text in `send`, or as hexadecimal digits in `send_hex`");
        return None;
    };
    Some(Udp { send, expect })
}

/// Bytes written as text or as digits; outer `None`: refused.
fn payload(
    health: &mut Reader<'_>,
    text: &'static str,
    hex: &'static str,
    report: &mut Report,
) -> Option<Option<Vec<u8>>> {
    let as_text = optional(health, text, |text| bounded(text.as_bytes().to_vec()), report)?;
    let as_hex = optional(health, hex, |text| scalar::bytes(text).and_then(bounded), report)?;
    if let (Some(_), Some(hex)) = (&as_text, &as_hex) {
        report.error(hex.at, format!("`{text}` says this already")).help("keep one of the two");
        return None;
    }
    Some(as_text.or(as_hex).map(|bytes| bytes.value))
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
    match bytes.len() {
        0 => Err(Fault::new("is empty")),
        1..=LONGEST_DATAGRAM => Ok(bytes),
        len => Err(Fault::new(format!("has {len} bytes: at most {LONGEST_DATAGRAM} fit"))),
    }
}

fn dns(health: &mut Reader<'_>, report: &mut Report) -> Option<Dns> {
    let name = match health.get("name") {
        Some(value) => value.parsed(dns_name, report),
        None => {
            report.error(health.at, "health lacks the key `name` for kind = \"dns\"").help(
                "write a name that the server knows, for example the zone that it serves: name = \"example.com\"",
            );
            None
        }
    };
    // RFC 1035, section 3.2.2; RFC 3596; RFC 2782.
    let types = [
        ("A", Ok(1)),
        ("NS", Ok(2)),
        ("CNAME", Ok(5)),
        ("SOA", Ok(6)),
        ("PTR", Ok(12)),
        ("MX", Ok(15)),
        ("TXT", Ok(16)),
        ("AAAA", Ok(28)),
        ("SRV", Ok(33)),
    ];
    let record_type = match health.get("type") {
        Some(value) => value.word(&types, report).map(|number| number.value),
        None => Some(1),
    };
    // RFC 1035, section 4.1.1.
    let codes = [
        ("NOERROR", Ok(0)),
        ("FORMERR", Ok(1)),
        ("SERVFAIL", Ok(2)),
        ("NXDOMAIN", Ok(3)),
        ("NOTIMP", Ok(4)),
        ("REFUSED", Ok(5)),
    ];
    let expect_rcode = match health.get("expect_rcode") {
        Some(value) => value.word(&codes, report).map(|code| code.value),
        None => Some(0),
    };
    Some(Dns { name: name?.value, record_type: record_type?, expect_rcode: expect_rcode? })
}

fn grpc(health: &mut Reader<'_>, report: &mut Report) -> Option<Grpc> {
    let service = optional(health, "service", service, report);
    let host = optional(health, "host", authority, report);
    let wants_tls = match health.get("tls") {
        Some(value) => value.boolean(report),
        None => Some(false),
    };
    let (service, host, wants_tls) = (service?, host?, wants_tls?);
    let host = host.map(|host| host.value);
    let tls = if wants_tls {
        Some(tls(health, host.as_deref().and_then(host_name), report)?)
    } else {
        for key in TLS {
            if let Some(value) = health.get(key) {
                report.error(value.at, format!("`{key}` has no meaning without tls = true")).help("add tls = true");
            }
        }
        None
    };
    Some(Grpc { service: service.map(|service| service.value).unwrap_or_default(), host, tls })
}

/// A string that `parse` understands; inner `None`: absent, outer: refused.
fn optional<T>(
    health: &mut Reader<'_>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, Fault>,
    report: &mut Report,
) -> Option<Option<Located<T>>> {
    match health.get(key) {
        Some(value) => value.parsed(parse, report).map(Some),
        None => Some(None),
    }
}

/// A status code, a range of them, or an array of both.
fn statuses(value: Value<'_>, report: &mut Report) -> Option<Vec<(u16, u16)>> {
    let one = |value: Value<'_>, report: &mut Report| {
        if value.is_integer() {
            return value.integer(100, 599, report).map(|code| (code.value as u16, code.value as u16));
        }
        value.parsed(status_range, report).map(|range| range.value)
    };
    if value.is_integer() || value.as_str().is_some() {
        return one(value, report).map(|range| vec![range]);
    }
    let items = value.array("status codes", report)?;
    if items.is_empty() {
        report.error(value.at, "`expect_status` is empty: no response would be good").help("remove it, or write 200");
        return None;
    }
    items.into_iter().map(|item| one(item, report)).collect()
}

fn status_range(text: &str) -> Result<(u16, u16), Fault> {
    let code = |text: &str| text.parse().ok().filter(|code| (100..=599).contains(code));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Fault::with_help(
            format!("{} is no range of status codes", quote(text)),
            "write for example 200 or \"200-299\"",
        )),
    }
}

fn path(text: &str) -> Result<String, Fault> {
    if !text.starts_with('/') {
        let help = format!("write \"/{}\"", text.escape_debug());
        return Err(Fault::with_help(format!("{} does not begin with '/'", quote(text)), help));
    }
    plain(text, |c| c.is_ascii_graphic() && !"#\"<>\\^`{|}".contains(c))
}

/// What a `Host` header holds: a name or an address, and maybe a port (RFC 9110, section 7.2).
fn authority(text: &str) -> Result<String, Fault> {
    plain(text, |c| c.is_ascii_alphanumeric() || "-_.:[]".contains(c))
}

fn server_name(text: &str) -> Result<String, Fault> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    labels(text)?;
    plain(text, |c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// The name in an authority, without its port; `None` if it is none.
fn host_name(authority: &str) -> Option<String> {
    let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
    server_name(name).ok()
}

fn dns_name(text: &str) -> Result<String, Fault> {
    if text == "." {
        return Ok(text.to_owned());
    }
    labels(text.strip_suffix('.').unwrap_or(text))?;
    plain(text, |c| c.is_ascii_alphanumeric() || "-_.*".contains(c))
}

/// Lengths of RFC 1035, section 2.3.4.
fn labels(text: &str) -> Result<(), Fault> {
    if text.len() > 253 || text.split('.').any(|label| !(1..=63).contains(&label.len())) {
        return Err(Fault::new(format!("{} is no name: labels have 1 to 63 characters, all at most 253", quote(text))));
    }
    Ok(())
}

fn service(text: &str) -> Result<String, Fault> {
    if text.is_empty() { Ok(String::new()) } else { plain(text, |c| c.is_ascii_graphic()) }
}

fn text(text: &str) -> Result<String, Fault> {
    plain(text, |_| true)
}

fn plain(text: &str, allowed: impl Fn(char) -> bool) -> Result<String, Fault> {
    if text.is_empty() {
        Err(Fault::new("is empty"))
    } else if text.len() > LONGEST_TEXT {
        Err(Fault::new(format!("is longer than {LONGEST_TEXT} bytes")))
    } else if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
        Err(Fault::new(format!("{} contains '{}'", quote(text), bad.escape_debug())))
    } else {
        Ok(text.to_owned())
    }
}

fn file(text: &str) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(Fault::new(format!("{} is no absolute path", quote(text)))) }
}
