//! Machines that are not here, from descriptions of their files, and what is found on them.

use super::*;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use tempfile::TempDir;

/// Set, it makes the tests write the expected findings instead of comparing them.
const WRITE: &str = "GUIDEWAY_WRITE_GOLDEN";

/// The files of a machine.
pub(super) struct Machine {
    root: TempDir,
}

impl Machine {
    pub(super) fn host(&self) -> Host {
        Host::under(self.root.path())
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doctor/machines").join(name)
}

/// Builds a machine from its description: `PATH = TEXT`, or `PATH -> TARGET` for a link.
pub(super) fn machine(name: &str) -> Machine {
    let root = tempfile::tempdir().unwrap();
    for line in std::fs::read_to_string(file(&format!("{name}.txt"))).unwrap().lines() {
        let at = |path: &str| {
            let path = root.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        if let Some((path, target)) = line.split_once(" -> ") {
            symlink(target, at(path)).unwrap();
        } else {
            let (path, text) = line.split_once(" =").unwrap();
            std::fs::write(at(path), text.trim_start().replace("\\n", "\n").replace("\\t", "\t")).unwrap();
        }
    }
    Machine { root }
}

fn findings(name: &str) -> Vec<Finding> {
    let machine = machine(name);
    let config = guideway_config::load(&file(&format!("{name}.toml")), None).unwrap().config;
    examine(&Subject { host: &machine.host(), config: Some(&config) })
}

/// What DPDK is linked is the machine's that builds.
fn compare(name: &str) {
    let findings: Vec<Finding> = findings(name).into_iter().filter(|finding| finding.id != "dpdk").collect();
    let (text, golden) = (text(&findings) + "\n", file(&format!("{name}.expected")));
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&golden).unwrap());
}

fn state(findings: &[Finding], id: &str) -> State {
    findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("{id} in {findings:#?}")).state
}

#[test]
fn bare_metal_with_two_nodes() {
    compare("two-nodes");
    let findings = findings("two-nodes");
    assert_eq!(state(&findings, "cores.isolated"), State::Warn, "6 is not isolated");
    assert_eq!(state(&findings, "cores.siblings"), State::Warn, "2 and 6 are one core");
    assert_eq!(state(&findings, "port.edge.driver"), State::Fail);
    assert_eq!(state(&findings, "port.edge.node"), State::Warn, "the card is on node 0, the workers on node 1");
    assert_eq!(state(&findings, "port.lost.driver"), State::Fail);
    assert_eq!(state(&findings, "hugepages.node0"), State::Ok);
}

#[test]
fn a_virtual_machine_with_little_of_all() {
    compare("virtual");
    let findings = findings("virtual");
    assert_eq!(state(&findings, "memory"), State::Fail);
    assert_eq!(state(&findings, "port.gone.device"), State::Fail);
    assert_eq!(state(&findings, "iommu"), State::Ok, "no port needs it");
    assert_eq!(state(&findings, "leftover.promiscuous"), State::Warn);
}

/// Without a configuration and without a file that may be read, nothing is claimed, and nothing breaks.
#[test]
fn an_empty_machine_is_unknown() {
    let root = tempfile::tempdir().unwrap();
    let host = Host::under(root.path());
    let found = examine(&Subject { host: &host, config: None });
    assert_eq!(count(&found, State::Fail), 0, "{found:#?}");
    assert!(count(&found, State::Unknown) >= 6, "{found:#?}");
}

/// What is not ok says what should be and how to get there.
#[test]
fn every_bad_finding_says_what_to_do() {
    for finding in ["two-nodes", "virtual"].into_iter().flat_map(findings) {
        if matches!(finding.state, State::Warn | State::Fail) {
            assert!(!finding.should.is_empty() && !finding.mend.is_empty(), "{finding:#?}");
        }
    }
}

#[test]
fn a_socket_without_a_process_is_left_over_and_cleared() {
    let machine = machine("two-nodes");
    let host = machine.host();
    let config = guideway_config::load(&file("two-nodes.toml"), None).unwrap().config;
    let subject = Subject { host: &host, config: Some(&config) };
    let socket = host.path("/run/guideway.sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(state(&leftover::check(&subject), "leftover"), State::Ok, "somebody listens");
    drop(listener);
    let found = leftover::check(&subject);
    assert_eq!(state(&found, "leftover.socket"), State::Warn);
    assert!(fix::fix(&found).is_ok());
    assert!(!socket.exists());
    assert_eq!(state(&leftover::check(&subject), "leftover"), State::Ok);
}

#[test]
fn json_has_what_the_text_has() {
    let findings = findings("virtual");
    let json = as_json(&findings);
    assert_eq!(json["fail"], count(&findings, State::Fail));
    assert_eq!(json["checks"].as_array().map(Vec::len), Some(findings.len()));
    let memory = json["checks"].as_array().unwrap().iter().find(|check| check["id"] == "memory").unwrap();
    assert_eq!((&memory["state"], memory["mend"].as_array().map(Vec::len)), (&Value::from("fail"), Some(1)));
}
