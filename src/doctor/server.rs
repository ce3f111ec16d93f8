//! The running process, and the limits of whoever asks.

use super::{Finding, Subject};
use guideway_config::model::DEFAULT_SOCKET;
use guideway_control::api::client::{Client, ClientError};
use guideway_control::status::model::Status;
use std::path::Path;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = vec![limit(subject, "limits.files", "Max open files", 1_024, "ulimit -n 1048576")];
    findings.push(limit(subject, "limits.memlock", "Max locked memory", 256 << 20, "ulimit -l unlimited"));
    findings.extend(process(subject));
    findings
}

/// The soft limit of this shell; the unit of the package has its own.
fn limit(subject: &Subject<'_>, id: &str, name: &str, least: u64, mend: &str) -> Finding {
    let text = subject.host.read("/proc/self/limits").unwrap_or_default();
    let soft = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    match soft.map(|soft| (soft, soft.parse::<u64>())) {
        None => Finding::unknown(id, "/proc/self/limits does not say"),
        Some(("unlimited", _)) => Finding::ok(id, "unlimited"),
        Some((soft, Ok(number))) if number >= least => Finding::ok(id, soft),
        Some((soft, _)) => {
            let finding = Finding::warn(id, format!("{soft} in this shell; the unit of the package has no such limit"));
            finding.should(format!("at least {least}")).mend(mend)
        }
    }
}

/// Where the control socket lies.
pub(super) fn socket<'a>(subject: &Subject<'a>) -> &'a Path {
    subject.config.map_or_else(|| Path::new(DEFAULT_SOCKET), |config| &config.socket)
}

/// The process behind the control socket, and its ports.
fn process(subject: &Subject<'_>) -> Vec<Finding> {
    let path = subject.host.path(&socket(subject).to_string_lossy());
    if !path.exists() {
        return vec![Finding::ok("process", format!("none runs at {}", socket(subject).display()))];
    }
    match Client::new(&path).and_then(|client| client.status()) {
        Ok(status) => running(&status),
        // A socket without a process: named among what is left over.
        Err(ClientError::Connect { source, .. }) if source.kind() == std::io::ErrorKind::ConnectionRefused => {
            Vec::new()
        }
        Err(error) => vec![Finding::unknown("process", error.to_string())],
    }
}

fn running(status: &Status) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("process", format!("runs, {} workers", status.workers.len()))];
    for port in &status.ports {
        let id = format!("process.{}", port.name);
        let is = format!("{} on {}, {} packets missed", port.device, port.driver, port.counters.missed);
        findings.push(match (port.link_up, port.counters.missed) {
            (false, _) => {
                Finding::fail(id, format!("{is}, link down")).should("a link").mend("look at cable and switch")
            }
            (true, 0) => Finding::ok(id, is),
            (true, _) => Finding::warn(id, is).should("none").mend("give the port another worker: see status, busy"),
        });
    }
    findings
}
