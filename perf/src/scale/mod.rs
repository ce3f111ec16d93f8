//! How the rate grows with workers: each worker with a generator of its own, all at once where there are cores for them.

pub mod fleet;
pub mod report;
