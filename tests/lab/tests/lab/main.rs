//! Tests of the laboratory itself, without Guideway.

mod cleanup;
mod config;
mod network;
mod quic;
mod standin;
mod tunnel;
