//! The neighbour table against a made-up segment, in virtual time.

mod following;
mod scale;
mod segment;
mod timing;
mod validity;
