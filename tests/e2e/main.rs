//! End to end: the program as an operator runs it, in network namespaces, before real servers, for real clients.
//!
//! Every test has a lab of its own. Those that run the load balancer take turns, since two cores have to do for
//! clients, router, servers and workers together. Without root they say `skipped:` and why; with `CI=true` they fail.

mod cli;
mod death;
mod download;
mod frozen;
mod http;
mod hugepages;
mod lifecycle;
mod neighbors;
mod pushes;
mod replayed;
mod retrying;
mod setup;
