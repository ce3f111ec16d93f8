//! The keyed flow hash.
