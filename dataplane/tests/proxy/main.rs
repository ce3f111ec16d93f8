//! The rules of the PROXY protocol: packet by packet, and between two TCP stacks with an adversary on the wires.

mod adversary;
mod middle;
mod segment;
mod vectors;
