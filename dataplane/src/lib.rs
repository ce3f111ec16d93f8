//! Pure packet code of Guideway: parse, select, rewrite, and the worker loop over a [`port::Port`].
//!
//! No DPDK, no I/O, no clock, no allocation per packet. The walk of a packet is
//! `receive → parse → select → rewrite → transmit`, as stage loops over a burst in arrays on the stack.

pub mod consistency;
pub mod counters;
pub mod craft;
pub mod doorbell;
pub mod drop_reason;
mod fast;
pub mod fragment;
pub mod hash;
pub mod idle;
pub mod ids;
mod lane;
pub mod memory;
pub mod nat;
pub mod observe;
pub mod parse;
pub mod pin;
pub mod pipeline;
pub mod port;
mod prefetch;
pub mod proxy;
pub mod publish;
pub mod punt;
pub mod quic;
pub mod rewrite;
pub mod rss;
mod segment;
pub mod select;
pub mod session;
pub mod snapshot;
pub mod syn_proxy;
pub mod table;
pub mod time;
pub mod transmit;
pub mod vip;
pub mod wire;
pub mod worker;
