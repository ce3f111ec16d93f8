//! The network of a lab: namespaces, links, addresses, routes.

use crate::address::{self, Mac, mac_text};
use crate::backend::Backend;
use crate::leftover::{Claim, Files, remove_all};
use crate::link::{End, connect};
use crate::namespace::Namespace;
use crate::nginx::Nginx;
use crate::options::LabOptions;
use anyhow::{Result, bail};
use std::fmt::Write as _;
use std::path::Path;

/// Largest number of backends, so that the last byte of an address holds them.
const MAX_BACKENDS: u8 = 200;

/// A built network; dropped means removed.
#[derive(Debug)]
pub struct Lab {
    // Fields are dropped in this order: hosts first, the name's claim last.
    backends: Vec<Backend>,
    client: Namespace,
    router: Namespace,
    segment: Namespace,
    balancer: Namespace,
    files: Files,
    two_armed: bool,
    segment_mtu: u32,
    claim: Claim,
}

impl Lab {
    /// The usual lab: three backends, one-armed.
    pub fn new() -> Result<Self> {
        LabOptions::new().build()
    }

    pub(crate) fn build(options: &LabOptions) -> Result<Self> {
        if options.backends > MAX_BACKENDS {
            bail!("a lab has at most {MAX_BACKENDS} backends");
        }
        let claim = match &options.name {
            Some(name) => Claim::named(name)?,
            None => Claim::test(options.exclusive)?,
        };
        let name = claim.name().to_owned();
        let host = |role: &str| Namespace::create(&format!("{name}.{role}"));
        let files = Files::create(&claim)?;
        let backends = (1..=options.backends)
            .map(|number| Backend::create(&name, number, files.path()))
            .collect::<Result<Vec<_>>>()?;
        let lab = Self {
            backends,
            client: host("client")?,
            router: host("router")?,
            segment: host("segment")?,
            balancer: host("balancer")?,
            files,
            two_armed: options.two_armed,
            segment_mtu: options.segment_mtu,
            claim,
        };
        lab.set_kernel_parameters()?;
        lab.connect_segment(options)?;
        lab.connect_client(options)?;
        if options.two_armed {
            lab.connect_outside(options)?;
        }
        lab.add_vip_routes()?;
        Ok(lab)
    }

    /// The lab's name: what its namespaces' names begin with.
    pub fn name(&self) -> &str {
        self.claim.name()
    }

    /// Where clients run.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// Between clients and segment.
    pub fn router(&self) -> &Namespace {
        &self.router
    }

    /// Holds the bridge and its ports: `gw`, `rt`, and `b1`, `b2`, … Captures are best made here, since a port
    /// sees every frame of its peer, whatever kind of socket sent it.
    pub fn segment(&self) -> &Namespace {
        &self.segment
    }

    /// Where Guideway runs: `gw0` (and `gw1`), without a kernel address.
    pub fn balancer(&self) -> &Namespace {
        &self.balancer
    }

    /// All backends.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// Backend `number`, from 1.
    ///
    /// # Panics
    ///
    /// When there is no such backend.
    pub fn backend(&self, number: usize) -> &Backend {
        &self.backends[number - 1]
    }

    /// A folder for files, removed with the lab.
    pub fn folder(&self) -> &Path {
        self.files.path()
    }

    /// Whether the balancer has a second interface.
    pub fn is_two_armed(&self) -> bool {
        self.two_armed
    }

    /// MTU of the segment in bytes.
    pub fn segment_mtu(&self) -> u32 {
        self.segment_mtu
    }

    /// The balancer's interface on the segment.
    pub fn segment_device(&self) -> &'static str {
        if self.two_armed { "gw1" } else { "gw0" }
    }

    /// Starts nginx on every backend.
    pub fn start_nginx(&self) -> Result<Vec<Nginx>> {
        self.backends.iter().map(Nginx::start).collect()
    }

    /// Gives the client all addresses of [`address::CROWD_V4`], so that it can be thousands of clients.
    pub fn add_crowd(&self) -> Result<()> {
        self.client.ip(&format!("route add local {} dev lo", address::CROWD_V4))?;
        self.router.ip(&format!("route add {} via {}", address::CROWD_V4, address::client_v4(0)))
    }

    /// Tells a host's kernel a neighbour for good, so that it need not ask for it.
    pub fn set_neighbor(host: &Namespace, device: &str, neighbor: &str, mac: Mac) -> Result<()> {
        host.ip(&format!("neigh replace {neighbor} lladdr {} dev {device} nud permanent", mac_text(mac)))
    }

    /// Leaves the network and its files in place when this process ends; [`Lab::remove`] takes them away.
    pub fn keep(mut self) {
        for namespace in [&mut self.client, &mut self.router, &mut self.segment, &mut self.balancer] {
            namespace.keep();
        }
        self.backends.iter_mut().for_each(Backend::keep);
        self.files.kept = true;
    }

    /// Removes the namespaces of a kept lab, with everything that runs in them, and its files; the namespaces' names.
    pub fn remove(name: &str) -> Result<Vec<String>> {
        remove_all(&Claim::named(name)?)
    }

    fn set_kernel_parameters(&self) -> Result<()> {
        let mut hosts = vec![&self.client, &self.router, &self.segment, &self.balancer];
        hosts.extend(self.backends.iter().map(|backend| backend.namespace()));
        hosts.into_iter().try_for_each(quiet)?;
        make_router(&self.router)?;
        for host in [&self.balancer, &self.segment] {
            host.sysctl(&[("net.ipv6.conf.all.disable_ipv6", "1"), ("net.ipv6.conf.default.disable_ipv6", "1")])?;
        }
        self.client.sysctl(&[("net.ipv4.ip_local_port_range", "10000 65000")])?;
        for backend in &self.backends {
            backend.namespace().sysctl(&[
                // A backend has the VIPs on its loopback and must not claim them on the segment.
                ("net.ipv4.conf.all.arp_ignore", "1"),
                ("net.ipv4.conf.all.arp_announce", "2"),
                ("net.core.somaxconn", "4096"),
            ])?;
        }
        Ok(())
    }

    fn connect_segment(&self, options: &LabOptions) -> Result<()> {
        let mtu = options.segment_mtu;
        self.segment
            .ip(&format!("link add br0 mtu {mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"))?;
        let device = self.segment_device();
        let port = |name| End::new(&self.segment, name);
        connect(port("gw"), End::new(&self.balancer, device).mac(address::BALANCER_MAC), options.queues, mtu)?;
        connect(port("rt"), End::new(&self.router, "seg").mac(address::ROUTER_MAC), 1, mtu)?;
        for backend in &self.backends {
            connect(port(backend.port()), End::new(backend.namespace(), "eth0").mac(backend.mac()), 1, mtu)?;
        }
        let mut ports = String::from("link set br0 up\n");
        for port in ["gw", "rt"].into_iter().chain(self.backends.iter().map(|backend| backend.port())) {
            let _ = writeln!(ports, "link set {port} master br0\nlink set {port} up");
        }
        self.segment.ip(&ports)?;
        self.balancer.ip(&format!("link set {device} up"))?;
        self.router.ip(&format!(
            "addr add {}/24 dev seg\naddr add {}/64 dev seg nodad\nlink set seg up\n",
            address::ROUTER_V4,
            address::ROUTER_V6
        ))?;
        self.backends.iter().try_for_each(Backend::configure)
    }

    fn connect_client(&self, options: &LabOptions) -> Result<()> {
        connect(End::new(&self.client, "eth0"), End::new(&self.router, "cl"), 1, 1500)?;
        self.router.ip("addr add 10.1.0.254/24 dev cl\naddr add fd01::fe/64 dev cl nodad\nlink set cl up\n")?;
        let mut lines = String::from("link set eth0 up\n");
        for number in 0..options.client_addresses {
            let (v4, v6) = (address::client_v4(number), address::client_v6(number));
            let _ = writeln!(lines, "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad");
        }
        lines.push_str("route add default via 10.1.0.254\nroute add default via fd01::fe\n");
        self.client.ip(&lines)
    }

    fn connect_outside(&self, options: &LabOptions) -> Result<()> {
        let near = End::new(&self.router, "out").mac(address::ROUTER_OUTSIDE_MAC);
        connect(near, End::new(&self.balancer, "gw0").mac(address::OUTSIDE_MAC), options.queues, 1500)?;
        self.balancer.ip("link set gw0 up")?;
        self.router.ip(&format!(
            "addr add {}/24 dev out\naddr add {}/64 dev out nodad\nlink set out up\n",
            address::ROUTER_OUTSIDE_V4,
            address::ROUTER_OUTSIDE_V6
        ))
    }

    fn add_vip_routes(&self) -> Result<()> {
        let (v4, v6) = match self.two_armed {
            true => (address::OUTSIDE_V4, address::OUTSIDE_V6),
            false => (address::BALANCER_V4, address::BALANCER_V6),
        };
        self.router.ip(&format!("route add {} via {v4}\nroute add {} via {v6}\n", address::VIPS_V4, address::VIPS_V6))
    }
}

/// What every host needs: answers that take another way than requests are fine, and the kernel makes no noise.
pub(crate) fn quiet(host: &Namespace) -> Result<()> {
    host.sysctl(&[
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.default.rp_filter", "0"),
        ("net.ipv4.ip_forward", "0"),
        // Duplicate address detection would cost seconds, router solicitations only make noise.
        ("net.ipv6.conf.all.accept_dad", "0"),
        ("net.ipv6.conf.default.accept_dad", "0"),
        ("net.ipv6.conf.default.accept_ra", "0"),
        ("net.ipv6.conf.default.router_solicitations", "0"),
    ])
}

/// Lets a host pass on packets that are not its own, without advice to their senders.
pub(crate) fn make_router(host: &Namespace) -> Result<()> {
    host.sysctl(&[
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv6.conf.all.forwarding", "1"),
        ("net.ipv4.conf.all.send_redirects", "0"),
        ("net.ipv4.conf.default.send_redirects", "0"),
    ])
}
