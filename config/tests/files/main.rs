//! Files with mistakes: what is reported, where, and that nothing else is.

mod api;
mod audit;
mod bad_files;
mod base;
mod checks;
mod flows;
mod idle;
mod many_errors;
mod nat;
mod not_built;
mod properties;
mod segments;
mod services;
mod tunnels;
