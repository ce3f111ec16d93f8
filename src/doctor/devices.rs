//! Network cards, the drivers that hold them, and the devices of the configuration.

use super::bind::{NETWORK, VFIO, pci_folder};
use super::{Finding, Subject};
use crate::run::devices::is_pci;
use guideway_config::model::{Config, Port};
use guideway_dpdk::netdev;
use std::collections::BTreeSet;

/// Kernel drivers that DPDK works with: a card on one of these needs no other.
const FOR_DPDK: [&str; 6] = [VFIO, "uio_pci_generic", "igb_uio", "mlx5_core", "mlx4_core", "mana"];
/// Those that leave the card to the kernel too, and need no IOMMU.
const SHARED: [&str; 3] = ["mlx5_core", "mlx4_core", "mana"];
/// Whether vfio works without an IOMMU.
const NO_IOMMU: &str = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = vec![iommu(subject), vfio(subject)];
    findings.extend(cards(subject));
    match subject.config {
        None => findings.push(Finding::unknown("port", "no --config names ports")),
        Some(config) => findings.extend(config.ports.iter().flat_map(|port| of_port(subject, config, port))),
    }
    findings
}

/// Whether a port of the configuration needs vfio; `None` without a configuration.
fn needs_vfio(subject: &Subject<'_>) -> Option<bool> {
    let on_vfio = |port: &Port| {
        let driver = subject.host.link(&format!("{}/driver", pci_folder(&port.device)));
        is_pci(&port.device) && !driver.is_some_and(|driver| SHARED.contains(&driver.as_str()))
    };
    Some(subject.config?.ports.iter().any(on_vfio))
}

fn iommu(subject: &Subject<'_>) -> Finding {
    let groups = subject.host.list("/sys/kernel/iommu_groups").len();
    if groups > 0 {
        return Finding::ok("iommu", format!("on, {groups} groups"));
    }
    let unsafe_mode = subject.host.read(NO_IOMMU).as_deref() == Some("Y");
    let line = "add intel_iommu=on iommu=pt (on AMD: iommu=pt) to the kernel's command line, and switch VT-d or AMD-Vi on in the BIOS";
    match (needs_vfio(subject), unsafe_mode) {
        (Some(false), _) => Finding::ok("iommu", "off; no configured port needs it"),
        (_, true) => Finding::warn("iommu", "off, and vfio works without it: a card can write to all memory")
            .should("on")
            .mend(line),
        (Some(true), false) => Finding::fail("iommu", "off: vfio-pci takes no card").should("on").mend(line),
        (None, false) => Finding::warn("iommu", "off: vfio-pci would take no card").should("on").mend(line),
    }
}

fn vfio(subject: &Subject<'_>) -> Finding {
    if subject.host.exists("/sys/bus/pci/drivers/vfio-pci") {
        return Finding::ok("vfio", "vfio-pci is loaded");
    }
    let should = |finding: Finding| finding.should("loaded, now and at the next start").mend("modprobe vfio-pci");
    match needs_vfio(subject) {
        Some(false) => Finding::ok("vfio", "vfio-pci is not loaded; no configured port needs it"),
        Some(true) => should(Finding::fail("vfio", "vfio-pci is not loaded"))
            .mend("echo vfio-pci > /etc/modules-load.d/guideway.conf"),
        None => should(Finding::warn("vfio", "vfio-pci is not loaded")),
    }
}

/// Every network card on the PCI bus.
fn cards(subject: &Subject<'_>) -> Vec<Finding> {
    let devices = subject.host.list("/sys/bus/pci/devices");
    let read =
        |device: &str, file: &str| subject.host.read(&format!("{}/{file}", pci_folder(device))).unwrap_or_default();
    let is_card = |device: &&String| read(device, "class").starts_with(NETWORK);
    let one = |device: &String| {
        let driver = subject.host.link(&format!("{}/driver", pci_folder(device)));
        let driver = driver.unwrap_or_else(|| "no driver".to_owned());
        let names = subject.host.list(&format!("{}/net", pci_folder(device)));
        let names = if names.is_empty() { String::new() } else { format!(", {}", names.join(", ")) };
        let node =
            read(device, "numa_node").parse::<u64>().map_or_else(|_| String::new(), |node| format!(", node {node}"));
        let id = |file: &str| read(device, file).trim_start_matches("0x").to_owned();
        Finding::ok(format!("pci.{device}"), format!("{}:{} on {driver}{names}{node}", id("vendor"), id("device")))
    };
    let found: Vec<Finding> = devices.iter().filter(is_card).map(one).collect();
    if found.is_empty() { vec![Finding::ok("pci", "no network card on a PCI bus")] } else { found }
}

/// The kernel interface that a device of DPDK sits on.
pub(super) fn interface(device: &str) -> Option<&str> {
    let sits_on_one = device.starts_with("net_af_xdp") || device.starts_with("net_af_packet");
    device.split(',').find_map(|part| part.strip_prefix("iface=")).filter(|_| sits_on_one)
}

fn of_port(subject: &Subject<'_>, config: &Config, port: &Port) -> Vec<Finding> {
    let id = |what: &str| format!("port.{}.{what}", port.name);
    if is_pci(&port.device) {
        let folder = pci_folder(&port.device);
        let node = subject.host.exists(&folder).then(|| node(subject, config, port, &folder));
        return std::iter::once(pci_driver(subject, &id("driver"), port)).chain(node).collect();
    }
    let Some(name) = interface(&port.device) else {
        return vec![Finding::ok(id("device"), format!("{}: a device of DPDK's own", port.device))];
    };
    let folder = format!("/sys/class/net/{name}");
    if !subject.host.exists(&folder) {
        let finding =
            Finding::fail(id("device"), format!("there is no interface {name}")).should("an interface of this machine");
        return vec![finding.mend(format!("name another one in `device` of port {}; ip link shows them", port.name))];
    }
    let mut findings = vec![link(subject, &id("link"), name), mtu(subject, &id("mtu"), port, name)];
    findings.extend([queues(subject, &id("queues"), port, name), offloads(subject, &id("offloads"), name)]);
    findings.push(node(subject, config, port, &format!("{folder}/device")));
    findings
}

fn pci_driver(subject: &Subject<'_>, id: &str, port: &Port) -> Finding {
    let folder = pci_folder(&port.device);
    if !subject.host.exists(&folder) {
        return Finding::fail(id, format!("there is no PCI device {}", port.device))
            .should("a network card of this machine")
            .mend("name another one in `device`; lspci -D shows them");
    }
    let driver = subject.host.link(&format!("{folder}/driver"));
    match driver.as_deref() {
        Some(driver) if FOR_DPDK.contains(&driver) => Finding::ok(id, format!("{} on {driver}", port.device)),
        driver => Finding::fail(id, format!("{} on {}", port.device, driver.unwrap_or("no driver")))
            .should(VFIO)
            .mend(format!("guideway doctor --bind {}", port.device)),
    }
}

fn link(subject: &Subject<'_>, id: &str, name: &str) -> Finding {
    let read = |file: &str| subject.host.read(&format!("/sys/class/net/{name}/{file}"));
    let speed = read("speed")
        .and_then(|speed| speed.parse::<u64>().ok())
        .map_or_else(String::new, |mb| format!(", {mb} Mbit/s"));
    match (read("carrier").as_deref(), read("operstate").as_deref()) {
        (Some("1"), _) => Finding::ok(id, format!("{name} is up{speed}")),
        // Reading the carrier of an interface that is down is refused.
        (None, Some("down")) => {
            Finding::warn(id, format!("{name} is down")).should("up").mend(format!("ip link set {name} up"))
        }
        (Some(_), _) => {
            Finding::warn(id, format!("{name} has no carrier")).should("a link").mend("look at cable and switch")
        }
        (None, _) => Finding::unknown(id, format!("{name} does not say")),
    }
}

fn mtu(subject: &Subject<'_>, id: &str, port: &Port, name: &str) -> Finding {
    let wanted = u64::from(port.mtu);
    match subject.host.number(&format!("/sys/class/net/{name}/mtu")) {
        None => Finding::unknown(id, format!("{name} does not say")),
        Some(mtu) if mtu >= wanted => Finding::ok(id, format!("{mtu}, the port's is {wanted}")),
        Some(mtu) => Finding::warn(id, format!("{mtu}, the port's is {wanted}"))
            .should(format!("at least {wanted}"))
            .mend(format!("ip link set {name} mtu {wanted}")),
    }
}

/// AF_XDP takes the queues 0 to N - 1; what arrives on others does not reach it.
fn queues(subject: &Subject<'_>, id: &str, port: &Port, name: &str) -> Finding {
    let queues = subject.host.list(&format!("/sys/class/net/{name}/queues"));
    let count = queues.iter().filter(|queue| queue.starts_with("rx-")).count();
    let workers = port.workers.len();
    let is = format!("{count} receive queues, {workers} workers");
    if count == 0 {
        Finding::unknown(id, format!("{name} does not say how many queues it has"))
    } else if count == workers || !port.device.starts_with("net_af_xdp") {
        Finding::ok(id, is)
    } else {
        let why =
            if count > workers { "packets of the other queues go to the kernel" } else { "some workers get nothing" };
        Finding::warn(id, format!("{is}: {why}"))
            .should(format!("{workers} queues, with RSS over all of them"))
            .mend(format!("ethtool -L {name} combined {workers}"))
    }
}

fn offloads(subject: &Subject<'_>, id: &str, name: &str) -> Finding {
    if !subject.host.is_this() {
        return Finding::unknown(id, "only the kernel itself tells");
    }
    match netdev::merges_packets(name) {
        None => Finding::unknown(id, format!("{name} does not say")),
        Some(false) => Finding::ok(id, "received packets stay as they are"),
        Some(true) => {
            Finding::warn(id, "received packets are merged (GRO or LRO): larger than the MTU, they are dropped")
                .should("off")
                .mend(format!("ethtool -K {name} gro off lro off"))
        }
    }
}

/// Workers that poll a card of another node pay for each packet.
fn node(subject: &Subject<'_>, config: &Config, port: &Port, folder: &str) -> Finding {
    let id = format!("port.{}.node", port.name);
    // -1: the kernel knows of no node.
    let Some(node) = subject.host.number(&format!("{folder}/numa_node")) else {
        return Finding::ok(id, "the device is near no node in particular");
    };
    let cores = port.workers.iter().filter_map(|&worker| config.cores.workers.get(worker).copied());
    let far: BTreeSet<usize> = cores.filter(|&core| subject.host.node_of(core).is_some_and(|of| of != node)).collect();
    if far.is_empty() {
        return Finding::ok(id, format!("device and workers are on node {node}"));
    }
    let near = subject.host.nodes().into_iter().find(|(of, _)| *of == node).map(|(_, cores)| cores).unwrap_or_default();
    Finding::warn(id, format!("the device is on node {node}, the workers' cores {} are not", super::host::ranges(&far)))
        .should("all on one node")
        .mend(format!("take workers from the cores {}", super::host::ranges(&near)))
}
