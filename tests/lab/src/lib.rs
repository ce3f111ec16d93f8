//! The laboratory of the end-to-end tests: network namespaces, peers, captures.
//!
//! A [`Lab`] is a small network made of namespaces and veth pairs:
//!
//! ```text
//! client ── router ──┬── balancer   (gw0: no kernel address, the dataplane owns it)
//!                    ├── web1
//!                    ├── web2       one bridge, the segment
//!                    └── web3
//! ```
//!
//! The router sends the VIPs to the balancer's own address. The backends' default gateway is the router, so
//! their answers go straight back to the client. Everything that a test starts is killed and removed when its
//! handle is dropped, also during a panic; [`remove_leftovers`] clears what a killed test left behind.
//!
//! Programs that the lab calls: `ip`, `ethtool`, `tcpdump`, `nginx`, `haproxy`, `envoy`, `curl`, `chrt`. `scripts/setup` installs them.

pub mod address;
pub mod analysis;
pub mod backend;
pub mod brief;
pub mod capture;
pub mod certificate;
pub mod config;
pub mod cores;
pub mod dialogue;
pub mod echo;
pub mod far;
pub mod faulty;
pub mod first_byte;
pub mod freeze;
pub mod guideway;
pub mod health;
pub mod helpers;
pub mod link;
pub mod listener;
pub mod load;
pub mod namespace;
pub mod nginx;
pub mod options;
pub mod packet;
pub mod ping;
pub mod priority;
pub mod process;
pub mod quic;
pub mod random;
pub mod reassembly;
pub mod streams;
pub mod tap;
pub mod tls_server;
pub mod topology;
pub mod tunnel;
pub mod unwrap;
pub mod vlan;

mod leftover;

pub use analysis::Analysis;
pub use backend::Backend;
pub use capture::Capture;
pub use certificate::Certificate;
pub use config::{Device, GuidewayConfig, PoolConfig, VipConfig};
pub use cores::{cores, on_cores};
pub use dialogue::{DialogueOptions, DialogueReport, DialogueServers, Dialogues};
pub use echo::EchoServer;
pub use far::Far;
pub use faulty::{FaultCounts, Faults, FaultyLink};
pub use freeze::freeze_thread;
pub use guideway::Guideway;
pub use health::{HealthServers, Mood};
pub use helpers::{helper, raise_file_limit, runnable};
pub use leftover::remove_leftovers;
pub use listener::Listener;
pub use load::{Load, LoadOptions, LoadReport};
pub use namespace::Namespace;
pub use nginx::Nginx;
pub use options::LabOptions;
pub use ping::{ping, ping_with};
pub use process::Process;
pub use quic::{QuicClients, QuicReport, QuicServer};
pub use tap::Tap;
pub use tls_server::{TlsProgram, TlsServer};
pub use topology::Lab;
pub use vlan::VlanSwitch;
