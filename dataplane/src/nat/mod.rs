//! Addresses and ports rewritten in both directions.

mod backend;

pub use backend::Nat;
