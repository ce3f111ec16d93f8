//! The TOML schema of Guideway, its validation and its errors.

pub mod model;
