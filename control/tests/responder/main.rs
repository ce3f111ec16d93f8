//! The responder: its answers byte for byte, what it must not answer, announcements and conflicts.

mod announcing;
mod conflicts;
mod frames;
mod links;
mod prefixes;
mod property;
mod refusing;
mod vectors;
