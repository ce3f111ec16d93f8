//! End to end: the program as an operator runs it, in network namespaces, before real servers, for real clients.
//!
//! Every test has a lab of its own. Those that run the load balancer take turns, since two cores have to do for
//! clients, router, servers and workers together. Without root they say `skipped:` and why; with `CI=true` they fail.

mod affinity;
mod backends;
mod capture;
mod checks;
mod churn;
mod cli;
mod consistency;
mod conversations;
mod death;
mod deaths;
mod doctor;
mod download;
mod drain;
mod exception;
mod first_byte;
mod fragments;
mod frozen;
mod http;
mod hugepages;
mod idle;
mod kept;
mod lifecycle;
mod lossy;
mod monitoring;
mod nat;
mod neighbors;
mod next_hops;
mod path_mtu;
mod ping;
mod proxied;
mod pushes;
mod quic;
mod reload;
mod remote;
mod replayed;
mod retrying;
mod services;
mod setup;
mod short_connections;
mod tls_end_to_end;
mod top;
mod transfer;
mod tunnels;
mod vlans;
mod watchdog;
