//! `capture`: packets that workers look for, as a pcapng file with the verdict on each as its comment.
//!
//! - `ask`: what somebody asks for, and what of it workers look for.
//! - `run`: a capture under way: takes frames from the workers' rings, and ends.
//! - `file`: the pcapng file.
//! - `comment`: what is said of a packet.
//!
//! The control socket streams the file, so that whoever asks writes it with their own rights. How frames get here is in
//! [`guideway_dataplane::observe`].

mod ask;
mod comment;
mod file;
mod run;

pub use ask::{AskError, CaptureAsk, Direction};
pub use run::{CaptureBody, start};

/// What goes wrong with a capture before it begins.
#[derive(Debug, thiserror::Error)]
pub enum CaptureRefused {
    /// What is asked for cannot be.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// There is one already.
    #[error("a capture is under way, and workers serve one at a time: wait until it ends, or end it")]
    Busy,
}
