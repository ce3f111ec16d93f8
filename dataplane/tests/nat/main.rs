//! Frames translated between tuples: compared byte by byte with frames that are made for the other tuple from the start, with
//! all checksums computed in full, and read by an independent parser.

mod any_bytes;
mod errors;
mod fragments;
mod packets;
mod refusals;
mod rig;
