//! The lookup table of a pool.
