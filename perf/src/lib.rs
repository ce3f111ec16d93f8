//! Benchmarks of Guideway: the real worker loop between a traffic source and a sink, on buffers in memory or, with the
//! feature `dpdk`, on mbufs of DPDK's null device.
//!
//! [`cycles`] measures what a packet costs: the same loop with and without the dataplane, in turns. [`churn`] simulates
//! flows while backends come and go, and counts those that change their backend. [`wake`] measures how long a packet waits for
//! a worker that is idle, [`probes`] what health checks of many backends cost, [`scrape`] what it costs to be scraped. [`peers`]
//! compares the worker with other programs over DPDK, [`first_byte`] what a client waits for behind it and behind other balancers.
//! [`gate`] holds counted instructions against a baseline.

pub mod churn;
pub mod clock;
pub mod connections;
pub mod cycles;
pub mod device;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod file;
pub mod first_byte;
pub mod gate;
pub mod generator;
pub mod latency;
#[cfg(feature = "dpdk")]
pub mod live;
pub mod load;
pub mod machine;
pub mod maglev;
pub mod memory;
pub mod mix;
pub mod ndr;
#[cfg(feature = "dpdk")]
pub mod pcap;
pub mod peers;
pub mod present;
pub mod probes;
pub mod reconfig;
pub mod record;
pub mod report;
pub mod scale;
pub mod scenario;
pub mod scrape;
pub mod show;
pub mod suite;
pub mod traffic;
pub mod wake;
pub mod window;
