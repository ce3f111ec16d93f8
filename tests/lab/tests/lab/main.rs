//! Tests of the laboratory itself, without Guideway.

mod cleanup;
mod network;
mod standin;
mod tunnel;
