//! The whole walk of a packet over ports in memory: vectors, the worker, properties, an independent reader.

mod device;
mod differential;
mod errors;
mod fragments;
mod injections;
mod observed;
mod outcome;
mod peer;
mod properties;
mod punts;
mod reader;
mod rig;
mod sequences;
mod sleep;
mod vectors;
mod worker;
