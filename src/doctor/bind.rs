//! `--bind`: gives a network card to another driver, by `driver_override` of the PCI bus.
//!
//! It asks first, refuses a card that the machine is reached by, looks whether the driver took the card, and gives it back to
//! the driver of before if not.

use super::host::Host;
use crate::Failure;
use anyhow::{Context, anyhow};
use std::io::{IsTerminal, Write};
use std::process::Command;

/// The driver that DPDK wants for most cards.
pub(super) const VFIO: &str = "vfio-pci";
/// What the class of every network card begins with (PCI Code and ID Assignment, base class 02h).
pub(super) const NETWORK: &str = "0x02";
/// Back to the kernel's own driver.
const KERNEL: &str = "none";

/// Where the kernel describes a PCI device.
pub(super) fn pci_folder(device: &str) -> String {
    format!("/sys/bus/pci/devices/{device}")
}

/// What is asked for.
pub(super) struct Request<'a> {
    pub(super) device: &'a str,
    pub(super) driver: &'a str,
    pub(super) yes: bool,
    pub(super) force: bool,
}

/// What would be done to a card.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Its PCI address.
    device: String,
    /// The driver that has it now.
    from: Option<String>,
    /// `None`: the kernel's own.
    to: Option<String>,
    /// Its interfaces, which vanish.
    interfaces: Vec<String>,
    /// Of the other devices in its IOMMU group, those that a driver of the kernel has: vfio gives nobody a part of a group.
    neighbors: Vec<String>,
}

pub(super) fn bind(host: &Host, request: &Request<'_>, json: bool) -> Result<(), Failure> {
    let plan = plan(host, request)?;
    if plan.from == plan.to {
        tell(&plan, "has that driver already", json);
        return Ok(());
    }
    eprintln!("{}", plan.describe());
    if !request.yes && !confirmed()? {
        return Err(anyhow!("doctor: nothing changed").into());
    }
    if host.is_this() && plan.to.as_deref() == Some(VFIO) {
        load_vfio()?;
    }
    carry_out(host, &plan)?;
    tell(&plan, "done", json);
    Ok(())
}

fn tell(plan: &Plan, what: &str, json: bool) {
    let driver = plan.to.as_deref().unwrap_or("its kernel driver");
    if json {
        println!("{}", serde_json::json!({"device": plan.device, "from": plan.from, "to": plan.to, "result": what}));
    } else {
        println!("{}: {driver}: {what}", plan.device);
    }
}

fn usage(message: &str) -> Failure {
    Failure::Usage(format!("doctor: {message}"))
}

/// Whether the request can and may be done.
fn plan(host: &Host, request: &Request<'_>) -> Result<Plan, Failure> {
    let device = resolve(host, request.device)?;
    let folder = pci_folder(&device);
    let class = host.read(&format!("{folder}/class")).unwrap_or_default();
    if !class.starts_with(NETWORK) {
        return Err(usage(&format!("{device} is no network card (class {class})")));
    }
    let interfaces = host.list(&format!("{folder}/net"));
    if !request.force {
        for name in &interfaces {
            if let Some(use_) = in_use(host, name) {
                let message = format!("{device} is {name}, which {use_}: whoever is connected by it loses the machine");
                return Err(usage(&format!("{message}; move that elsewhere first, or type --force")));
            }
        }
    }
    let from = host.link(&format!("{folder}/driver"));
    let to = (request.driver != KERNEL).then(|| request.driver.to_owned());
    if request.driver.is_empty() || !request.driver.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)) {
        return Err(usage(&format!("`{}` is no name of a driver", request.driver)));
    }
    let neighbors = if to.as_deref() == Some(VFIO) { neighbors(host, &device) } else { Vec::new() };
    let no_iommu = host.read("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode").as_deref() == Some("Y");
    if to.as_deref() == Some(VFIO) && !host.exists(&format!("{folder}/iommu_group")) && !no_iommu {
        let message = format!("{device} has no IOMMU group: vfio-pci takes no card without an IOMMU");
        return Err(Failure::Runtime(anyhow!("doctor: {message}; `guideway doctor` says how to switch it on")));
    }
    Ok(Plan { device, from, to, interfaces, neighbors })
}

/// The PCI address of an address with or without domain, or of an interface.
fn resolve(host: &Host, name: &str) -> Result<String, Failure> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(usage(&format!("`{name}` is no device: give a PCI address such as 0000:3b:00.0, or an interface")));
    }
    for address in [name.to_ascii_lowercase(), format!("0000:{}", name.to_ascii_lowercase())] {
        if host.exists(&pci_folder(&address)) {
            return Ok(address);
        }
    }
    let of_interface = host.link(&format!("/sys/class/net/{name}/device"));
    let is_pci = |address: &String| host.exists(&pci_folder(address));
    of_interface.filter(is_pci).ok_or_else(|| {
        usage(&format!("there is no PCI device or interface of one called {name}; `guideway doctor` lists the cards"))
    })
}

/// What an interface is needed for; `None` if for nothing.
fn in_use(host: &Host, name: &str) -> Option<&'static str> {
    let routes = host.read("/proc/net/route").unwrap_or_default();
    let of_interface: Vec<Vec<&str>> = routes
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.first() == Some(&name))
        .collect();
    let routes6 = host.read("/proc/net/ipv6_route").unwrap_or_default();
    let default6 = routes6.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|words| {
        // Destination, its length; the route to nowhere that the kernel keeps is on lo.
        words.get(1) == Some(&"00")
            && words.last() == Some(&name)
            && words.first().is_some_and(|to| to.bytes().all(|c| c == b'0'))
    });
    if default6 || of_interface.iter().any(|words| words.get(1) == Some(&"00000000")) {
        return Some("carries the default route");
    }
    // Scope 20 is the link: every interface has such an address.
    let addresses = host.read("/proc/net/if_inet6").unwrap_or_default();
    let has_global = addresses
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|words| words.last() == Some(&name) && words.get(3).is_some_and(|scope| *scope != "20"));
    let has_address = has_global || !of_interface.is_empty() || has_address_now(host, name);
    has_address.then_some("has an address")
}

/// IPv4 addresses are in no file: the kernel is asked.
fn has_address_now(host: &Host, name: &str) -> bool {
    let is_of = |address: &nix::ifaddrs::InterfaceAddress| {
        let address_of = address.address.as_ref();
        address.interface_name == name && address_of.is_some_and(|address| address.as_sockaddr_in().is_some())
    };
    host.is_this() && nix::ifaddrs::getifaddrs().is_ok_and(|mut addresses| addresses.any(|address| is_of(&address)))
}

fn neighbors(host: &Host, device: &str) -> Vec<String> {
    let in_group = host.list(&format!("{}/iommu_group/devices", pci_folder(device)));
    let is_bridge =
        |other: &str| host.read(&format!("{}/class", pci_folder(other))).is_some_and(|class| class.starts_with("0x06"));
    let held = |other: &String| {
        let driver = host.link(&format!("{}/driver", pci_folder(other)));
        other != device && !is_bridge(other) && driver.is_some_and(|driver| driver != VFIO)
    };
    in_group.into_iter().filter(held).collect()
}

impl Plan {
    fn describe(&self) -> String {
        let from = self.from.as_deref().unwrap_or("no driver");
        let to = self.to.as_deref().unwrap_or("its kernel driver");
        let mut text = format!("{}: from {from} to {to}", self.device);
        if !self.interfaces.is_empty() {
            text += &format!("\n  its interfaces vanish: {}", self.interfaces.join(", "));
        }
        if !self.neighbors.is_empty() {
            let names = self.neighbors.join(", ");
            text += &format!("\n  in its IOMMU group are {names}: bind these too, or vfio gives it to nobody");
        }
        if let Some(from) = self.from.as_deref().filter(|from| *from != VFIO) {
            text += &format!("\n  back: guideway doctor --bind {} --driver {from}", self.device);
        }
        text
    }
}

fn confirmed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(usage("there is nobody to ask; --yes answers"));
    }
    eprint!("Go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn load_vfio() -> Result<(), Failure> {
    let output = Command::new("modprobe").arg(VFIO).output().context("cannot run modprobe")?;
    let why = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(anyhow!("doctor: modprobe {VFIO}: {}", why.trim()).into()) }
}

/// Unbinds and binds; if the new driver does not take the card, the old one gets it back.
fn carry_out(host: &Host, plan: &Plan) -> anyhow::Result<()> {
    let folder = pci_folder(&plan.device);
    rebind(host, plan, plan.to.as_deref().unwrap_or("\n"))?;
    let has = host.link(&format!("{folder}/driver"));
    let took = match &plan.to {
        Some(_) => has == plan.to,
        None => has.as_deref() != Some(VFIO),
    };
    if took {
        return Ok(());
    }
    let back = rebind(host, plan, "\n").map_or_else(|error| format!("{error:#}"), |()| "as before".to_owned());
    let to = plan.to.as_deref().unwrap_or("the kernel's driver");
    Err(anyhow!("doctor: {to} did not take {}; see `dmesg`; the card is {back}", plan.device))
}

/// A line end as driver means any.
fn rebind(host: &Host, plan: &Plan, driver: &str) -> anyhow::Result<()> {
    let folder = pci_folder(&plan.device);
    let write = |path: &str, text: &str| {
        std::fs::write(host.path(path), text)
            .with_context(|| format!("doctor: cannot write to {path} (this needs root)"))
    };
    write(&format!("{folder}/driver_override"), driver)?;
    if host.exists(&format!("{folder}/driver")) {
        write(&format!("{folder}/driver/unbind"), &plan.device)?;
    }
    write("/sys/bus/pci/drivers_probe", &plan.device)
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;

    const CARD: &str = "0000:3b:00.0";

    fn request(device: &str) -> Request<'_> {
        Request { device, driver: VFIO, yes: true, force: false }
    }

    fn refusal(host: &Host, request: &Request<'_>) -> String {
        match plan(host, request) {
            Err(Failure::Usage(message)) => message,
            Err(Failure::Runtime(error)) => format!("{error:#}"),
            Ok(plan) => panic!("{plan:?}"),
        }
    }

    #[test]
    fn a_free_card_is_planned_by_address_or_interface() {
        let machine = machine("two-nodes");
        let host = machine.host();
        for name in [CARD, "3B:00.0", "ens1f0"] {
            let plan = plan(&host, &request(name)).ok().unwrap();
            assert_eq!(
                (plan.device.as_str(), plan.from.as_deref(), plan.to.as_deref()),
                (CARD, Some("ice"), Some(VFIO))
            );
            assert_eq!((plan.interfaces, plan.neighbors), (vec!["ens1f0".to_owned()], vec!["0000:3b:00.1".to_owned()]));
        }
    }

    #[test]
    fn the_way_to_the_machine_is_not_cut() {
        let machine = machine("two-nodes");
        let host = machine.host();
        assert!(refusal(&host, &request("0000:01:00.0")).contains("carries the default route"));
        assert!(refusal(&host, &request("0000:3b:00.1")).contains("has an address"));
        let forced = Request { force: true, ..request("eno1") };
        assert_eq!(plan(&host, &forced).ok().unwrap().device, "0000:01:00.0");
    }

    #[test]
    fn nonsense_is_refused() {
        let machine = machine("two-nodes");
        let host = machine.host();
        for name in ["", "..", "a/b", "ens9", "0000:ff:00.0"] {
            assert!(refusal(&host, &request(name)).contains("device"), "{name}");
        }
        assert!(refusal(&host, &request("0000:00:1f.2")).contains("no network card"));
        let bad = Request { driver: "../vfio", ..request(CARD) };
        assert!(refusal(&host, &bad).contains("no name of a driver"));
        let machine = super::super::tests::machine("virtual");
        assert!(refusal(&machine.host(), &request("0000:00:03.0")).contains("IOMMU"));
    }

    #[test]
    fn a_card_that_is_not_taken_goes_back() {
        let machine = machine("two-nodes");
        let host = machine.host();
        let plan = plan(&host, &request(CARD)).ok().unwrap();
        // Files do not bind: the link to the driver stays what it was.
        let error = carry_out(&host, &plan).unwrap_err();
        assert!(error.to_string().contains("did not take 0000:3b:00.0"), "{error:#}");
        let read = |path: &str| std::fs::read_to_string(host.path(path)).unwrap();
        assert_eq!(read(&format!("/sys/bus/pci/devices/{CARD}/driver_override")), "\n", "given back");
        assert_eq!(read("/sys/bus/pci/drivers/ice/unbind"), CARD);
        assert_eq!(read("/sys/bus/pci/drivers_probe"), CARD);
    }

    #[test]
    fn a_card_that_is_taken_stays() {
        let machine = machine("two-nodes");
        let host = machine.host();
        let mut plan = plan(&host, &request(CARD)).ok().unwrap();
        plan.to = Some("ice".to_owned());
        carry_out(&host, &plan).unwrap();
        let path = host.path(&format!("/sys/bus/pci/devices/{CARD}/driver_override"));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "ice");
    }
}
