//! Tests of the laboratory itself, without Guideway.

mod cleanup;
mod config;
mod network;
mod standin;
mod tunnel;
