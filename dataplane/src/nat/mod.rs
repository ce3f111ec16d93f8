//! Addresses and ports rewritten in both directions.
