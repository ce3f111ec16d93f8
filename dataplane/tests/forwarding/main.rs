//! The whole walk of a packet over ports in memory: vectors, the worker, properties, an independent reader.

mod differential;
mod injections;
mod properties;
mod punts;
mod reader;
mod rig;
mod vectors;
mod worker;
