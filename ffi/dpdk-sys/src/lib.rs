//! Raw bindings to the installed libdpdk, found by pkg-config: the functions, types and constants that
//! `guideway-dpdk` uses and nothing else.
//!
//! The names and the meaning of every item are those of the DPDK API reference (`doc.dpdk.org/api`). Layouts come
//! from the installed headers; libclang, rustc and the C compiler are made to agree on them when this crate builds.

/// The generated items.
#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    unsafe_op_in_unsafe_fn,
    unnecessary_transmutes
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
