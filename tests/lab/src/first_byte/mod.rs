//! Ways from a client to a TLS server, one balancer or none on each, and the time until the answer's first byte on them.
//!
//! A [`Site`] is a lab with one backend, which serves TLS. [`Site::open`] puts one balancer into the balancer's namespace and
//! waits until it carries connections; dropped means stopped, so that the next one finds the same wires and nobody else on
//! them.

mod balancer;
mod terminator;
mod visitor;

pub use balancer::{Open, Place, Round};
pub use visitor::{Visit, Visitor};

use crate::address;
use crate::certificate::Certificate;
use crate::config::{Device, GuidewayConfig};
use crate::cores::on_cores;
use crate::nginx::{Nginx, PROXIED_TLS_PORT, TLS_PORT};
use crate::options::LabOptions;
use crate::priority::set_real_time;
use crate::topology::Lab;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::Value;

/// The file that is asked for.
pub const FILE: &str = "small";
/// Its length in bytes.
pub const FILE_BYTES: usize = 1024;
/// The name in all certificates.
const SERVER_NAME: &str = "www.guideway.lab";

/// A way from the client to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// No balancer: the client asks the backend's own address.
    Direct,
    /// Guideway, `l2dsr`.
    GuidewayL2dsr,
    /// Guideway, `fullnat` with the PROXY protocol in version 2.
    GuidewayFullnat,
    /// HAProxy in TCP mode, with the PROXY protocol in version 2.
    HaproxyTcp,
    /// HAProxy that ends TLS and asks the backend by HTTP/1.1 without TLS, over connections that it keeps.
    HaproxyTls,
    /// nginx that does the same.
    NginxTls,
}

/// Who ends the client's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsEnd {
    /// The backend: the balancer passes on what it cannot read.
    Backend,
    /// The balancer.
    Balancer,
}

/// How the backend learns the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientBy {
    /// It is the packets' source.
    Packets,
    /// By the PROXY protocol.
    Proxy,
    /// By a header of the request.
    Header,
}

impl Way {
    /// Every one, the floor first.
    pub const ALL: [Self; 6] =
        [Self::Direct, Self::GuidewayL2dsr, Self::GuidewayFullnat, Self::HaproxyTcp, Self::HaproxyTls, Self::NginxTls];

    /// One word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::GuidewayL2dsr => "guideway-l2dsr",
            Self::GuidewayFullnat => "guideway-fullnat",
            Self::HaproxyTcp => "haproxy-tcp",
            Self::HaproxyTls => "haproxy-tls",
            Self::NginxTls => "nginx-tls",
        }
    }

    /// What it is.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Direct => "no balancer",
            Self::GuidewayL2dsr => "Guideway, l2dsr",
            Self::GuidewayFullnat => "Guideway, fullnat with PROXY v2",
            Self::HaproxyTcp => "HAProxy, TCP mode with PROXY v2",
            Self::HaproxyTls => "HAProxy, ends TLS, HTTP/1.1 to the backend",
            Self::NginxTls => "nginx, ends TLS, HTTP/1.1 to the backend",
        }
    }

    /// Who ends the client's TLS.
    pub const fn tls_end(self) -> TlsEnd {
        match self {
            Self::Direct | Self::GuidewayL2dsr | Self::GuidewayFullnat | Self::HaproxyTcp => TlsEnd::Backend,
            Self::HaproxyTls | Self::NginxTls => TlsEnd::Balancer,
        }
    }

    /// Whether Guideway is in it.
    pub const fn is_guideway(self) -> bool {
        matches!(self, Self::GuidewayL2dsr | Self::GuidewayFullnat)
    }

    /// How the backend learns the client's address.
    pub const fn client_by(self) -> ClientBy {
        match self {
            Self::Direct | Self::GuidewayL2dsr => ClientBy::Packets,
            Self::GuidewayFullnat | Self::HaproxyTcp => ClientBy::Proxy,
            Self::HaproxyTls | Self::NginxTls => ClientBy::Header,
        }
    }

    /// What the client connects to.
    pub fn target(self) -> SocketAddr {
        let address = match self {
            Self::Direct => address::backend_v4(1).into(),
            Self::GuidewayL2dsr => address::vip_v4(31),
            Self::GuidewayFullnat => address::vip_v4(32),
            Self::HaproxyTcp => address::vip_v4(33),
            Self::HaproxyTls => address::vip_v4(34),
            Self::NginxTls => address::vip_v4(35),
        };
        SocketAddr::new(address, TLS_PORT)
    }

    /// The path whose answer tells what the backend takes for the client's address.
    pub const fn asks_for_client(self) -> &'static str {
        match self.client_by() {
            ClientBy::Packets | ClientBy::Proxy => "/client",
            ClientBy::Header => "/forwarded",
        }
    }

    /// Guideway's configuration on this way; `None` on others' ways.
    fn guideway(self, site: &Site, idle: &str) -> Option<GuidewayConfig> {
        let lab = &site.lab;
        let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[site.place.balancer]);
        config.cores.insert("control".to_owned(), site.place.others.into());
        config.cores.insert("idle".to_owned(), idle.into());
        let target = self.target();
        let mode = match self {
            Self::GuidewayL2dsr => "l2dsr",
            Self::GuidewayFullnat => "fullnat",
            _ => return None,
        };
        let mut config = config.pool(lab, POOL, mode, false).vip(target.ip(), "tcp", target.port(), POOL);
        if self.client_by() == ClientBy::Proxy {
            for pool in &mut config.pool {
                pool.more.insert("proxy_protocol".to_owned(), Value::from("v2"));
                for backend in &mut pool.backend {
                    backend.insert("port".to_owned(), i64::from(PROXIED_TLS_PORT).into());
                }
            }
        }
        Some(config)
    }
}

/// The name of Guideway's pool.
const POOL: &str = "web";

/// A lab with a client, a backend that serves TLS, and room for one balancer between them.
#[derive(Debug)]
pub struct Site {
    // Dropped in this order: the lab outlives what runs in it.
    _server: Nginx,
    lab: Lab,
    backend: Certificate,
    balancer: Certificate,
    place: Place,
    guideway: PathBuf,
}

impl Site {
    /// Builds the lab, which has the machine for itself, and starts the backend. `guideway` is the program. From then on the
    /// calling thread, whose sockets are the client's, has the real-time priority that `place` says.
    ///
    /// # Errors
    ///
    /// Without root, without the programs that a lab calls, and where the machine has no such cores.
    pub fn build(guideway: PathBuf, place: Place) -> Result<Self> {
        if let Some(priority) = place.real_time {
            set_real_time(nix::unistd::gettid().as_raw().unsigned_abs(), priority)?;
        }
        let lab = LabOptions::new().backends(1).exclusive().build()?;
        let host = lab.backend(1);
        let backend = Certificate::create(host.folder(), SERVER_NAME)?;
        let balancer = Certificate::create(lab.folder(), SERVER_NAME)?;
        let server = on_cores(&[place.others], || Nginx::start_with_tls(host, &backend))?;
        server.put(FILE, Some(&"0123456789abcdef".repeat(FILE_BYTES / 16)))?;
        Ok(Self { _server: server, lab, backend, balancer, place, guideway })
    }

    /// The certificate that the client must be shown on this way.
    pub fn expected(&self, way: Way) -> &Certificate {
        match way.tls_end() {
            TlsEnd::Backend => &self.backend,
            TlsEnd::Balancer => &self.balancer,
        }
    }

    /// Puts the balancer of this way to work; it ends with what is returned. `idle` is how Guideway's worker rests: `poll`,
    /// `adaptive` or `interrupt`.
    ///
    /// # Errors
    ///
    /// When it does not start, or does not carry a connection within a minute.
    pub fn open(&self, way: Way, idle: &str) -> Result<Open<'_>> {
        Open::start(self, way, idle).with_context(|| format!("{} does not start", way.name()))
    }
}
