//! Hugepages for the time of a test.

use std::fs;
use std::io::Write as _;

const NUMBER: &str = "/proc/sys/vm/nr_hugepages";
/// Pages of 2 MiB: enough for the pool of one worker.
const PAGES: usize = 128;

/// Pages reserved on top of what there was, given back when dropped.
pub struct Hugepages(());

impl Hugepages {
    /// Reserves some. `None` where the kernel has no memory for them: says so, and fails in continuous integration.
    pub fn reserve(test: &str) -> Option<Self> {
        let before = number();
        let written = fs::write(NUMBER, (before + PAGES).to_string());
        let this = Self(());
        if written.is_ok() && number() >= before + PAGES {
            return Some(this);
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: no hugepages, and CI skips nothing");
        let _ = writeln!(std::io::stderr(), "skipped: {test}: the kernel has no memory for {PAGES} hugepages");
        None
    }
}

impl Drop for Hugepages {
    fn drop(&mut self) {
        let _ = fs::write(NUMBER, number().saturating_sub(PAGES).to_string());
    }
}

fn number() -> usize {
    fs::read_to_string(NUMBER).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
