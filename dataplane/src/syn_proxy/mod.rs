//! The SYN proxy: SYNs are answered here, without a memory of them, and a backend hears of a client only once the client has
//! acknowledged the answer.
//!
//! `cookie` is the sequence number of the answer, which says what the SYN said and cannot be made by others; `answer` is the
//! answer; `splice` is how far the numbers of backend and client differ from then on; `rate` tells when it is worth it.

mod answer;
mod cookie;
mod options;
mod rate;
mod splice;

pub(crate) use answer::answer;
pub use cookie::{Cookies, Proof};
pub use options::Options;
pub(crate) use options::{timestamps, written};
pub(crate) use rate::SynRates;
pub use splice::Splice;
pub(crate) use splice::Splices;

/// The shift of the windows that clients are told of: 8 MiB at most, in steps of 128 bytes.
pub const WINDOW_SCALE: u8 = 7;

/// When SYNs of a pool are answered here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SynProxy {
    /// Never.
    #[default]
    Off,
    /// Always.
    On,
    /// While more SYNs a second than this come to one worker, or its sessions run out.
    Auto {
        /// SYNs a second of the pool at one worker.
        rate: u32,
    },
}
