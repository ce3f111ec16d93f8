//! Pure packet code of Guideway: parse, select, rewrite, and the worker loop over a [`port::Port`].
//!
//! No DPDK, no I/O, no clock, no allocation per packet. The walk of a packet is
//! `receive → parse → select → rewrite → transmit`, as stage loops over a burst in arrays on the stack.

pub mod hash;
pub mod ids;
pub mod memory;
pub mod port;
pub mod table;
pub mod time;
pub mod wire;
