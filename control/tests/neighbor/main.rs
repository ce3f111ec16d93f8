//! The neighbour table against a made-up segment, in virtual time.

mod following;
mod links;
mod scale;
mod segment;
mod timing;
mod validity;
