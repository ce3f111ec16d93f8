//! What a process that was killed may leave: the control socket, an XDP program, a promiscuous flag.
//!
//! `run` replaces all of them when it starts; here they are named, and cleared with `--fix`, for a machine where it is not to
//! start again.

use super::devices::interface;
use super::server::socket;
use super::{Finding, Subject};
use guideway_dpdk::netdev;
use std::os::unix::net::UnixStream;

/// IFF_PROMISC (netdevice(7)).
const PROMISCUOUS: u64 = 0x100;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let path = subject.host.path(&socket(subject).to_string_lossy());
    let connected = UnixStream::connect(&path);
    // With a process there, all is in use.
    if connected.is_ok() {
        return vec![Finding::ok("leftover", "nothing: a process runs")];
    }
    let refused = connected.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    let mut findings = Vec::new();
    if refused {
        let plain = is_plain(&path.to_string_lossy());
        let finding = Finding::warn("leftover.socket", format!("{}: nobody listens there", path.display()));
        findings.push(finding.should("no such file").mend(format!("rm {}", path.display())).fixable_if(plain));
    }
    let ports = subject.config.map_or(&[][..], |config| &config.ports);
    for name in ports.iter().filter_map(|port| interface(&port.device)) {
        findings.extend(program(subject, name));
        findings.extend(promiscuous(subject, name));
    }
    if findings.is_empty() {
        findings.push(match subject.config {
            Some(_) => Finding::ok("leftover", "nothing"),
            None => Finding::ok("leftover", "no control socket; --config names the interfaces to look at"),
        });
    }
    findings
}

/// Whether a name is one word of a command.
fn is_plain(name: &str) -> bool {
    !name.contains(char::is_whitespace) && !name.starts_with('-')
}

fn program(subject: &Subject<'_>, name: &str) -> Option<Finding> {
    let program = subject.host.is_this().then(|| netdev::xdp_program_of(name))??;
    let finding =
        Finding::warn("leftover.xdp", format!("{name} has the XDP program {} (id {})", program.name, program.id));
    Some(
        finding
            .should("none while no process runs")
            .mend(format!("ip link set dev {name} xdp off"))
            .fixable_if(is_plain(name)),
    )
}

fn promiscuous(subject: &Subject<'_>, name: &str) -> Option<Finding> {
    let flags = subject.host.read(&format!("/sys/class/net/{name}/flags"))?;
    let flags = u64::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
    let finding = || Finding::warn("leftover.promiscuous", format!("{name} takes frames that are for others"));
    let is_set = flags & PROMISCUOUS != 0;
    is_set
        .then(|| finding().should("off").mend(format!("ip link set dev {name} promisc off")).fixable_if(is_plain(name)))
}
