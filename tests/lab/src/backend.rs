//! The hosts behind the balancer.

use crate::address::{self, Mac};
use crate::namespace::Namespace;
use crate::process::Process;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// A backend: a host on the segment with the VIPs on its loopback and the router as its gateway.
#[derive(Debug)]
pub struct Backend {
    namespace: Namespace,
    name: String,
    number: u8,
    mac: Mac,
    port: String,
    folder: PathBuf,
    segment: String,
}

impl Backend {
    pub(crate) fn create(lab: &str, number: u8, folder: &Path) -> Result<Self> {
        let name = format!("web{number}");
        let folder = folder.join(&name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self {
            namespace: Namespace::create(&format!("{lab}.{name}"))?,
            name,
            number,
            mac: address::backend_mac(number),
            port: format!("b{number}"),
            folder,
            segment: format!("{lab}.segment"),
        })
    }

    pub(crate) fn configure(&self) -> Result<()> {
        self.namespace.ip(&format!(
            "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up\n\
             route add default via {}\nroute add default via {}\n\
             route add local {} dev lo\nroute add local {} dev lo\n",
            self.v4(),
            self.v6(),
            address::ROUTER_V4,
            address::ROUTER_V6,
            address::VIPS_V4,
            address::VIPS_V6
        ))
    }

    /// Leaves its namespace in place when this handle is dropped.
    pub(crate) fn keep(&mut self) {
        self.namespace.keep();
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// `web1`, `web2`, …: what its web server answers too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, from 1.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Its address on the segment.
    pub fn v4(&self) -> Ipv4Addr {
        address::backend_v4(self.number)
    }

    /// Its address on the segment.
    pub fn v6(&self) -> Ipv6Addr {
        address::backend_v6(self.number)
    }

    /// Its Ethernet address on the segment.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// The bridge's port that it hangs on.
    pub fn port(&self) -> &str {
        &self.port
    }

    /// A folder for its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes its link down, as when a machine loses power: no answer of any kind any more.
    pub fn cut(&self) -> Result<()> {
        self.set_link("down")
    }

    /// Brings its link back.
    pub fn restore(&self) -> Result<()> {
        self.set_link("up")
    }

    /// Starts the decapsulator for pools with tunnels and waits until its sockets are open.
    pub fn start_decap(&self) -> Result<Process> {
        crate::tunnel::start_decap(&self.namespace, self.v6(), &self.folder.join("decap.log"))
    }

    fn set_link(&self, state: &str) -> Result<()> {
        let mut segment = Namespace::adopt(&self.segment)?;
        segment.keep();
        segment.ip(&format!("link set {} {state}", self.port))
    }
}
