//! `replay --at`: every rule of connection consistency, tried with captures.

mod clock;
mod fragments;
mod law;
mod operator;
mod spread;
mod support;
mod usage;
