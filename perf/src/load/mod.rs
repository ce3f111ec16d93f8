//! A load at a given rate, and what becomes of it: the generator on one core, the worker under test on another.
//!
//! [`frames`] makes stamped packets, [`pacer`] says when they are due, [`generator`] sends and receives, [`dut`] runs the
//! worker, [`rig`] joins them by rings in memory or of DPDK, or leaves the balancer to somebody else.

#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod dut;
pub mod frames;
pub mod generator;
pub mod joint;
pub mod pacer;
pub mod receiver;
pub mod rig;
pub mod site;
pub mod stamp;
pub mod trial;
