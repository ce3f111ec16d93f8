//! What a test needs of the machine that it runs on.

/// Says why a test cannot run here. In CI nothing may be skipped.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "may not be skipped in CI: {why}");
    eprintln!("skipped: {why}");
}

/// Whether this process may make namespaces and interfaces.
pub fn is_root() -> bool {
    // SAFETY: no arguments, no failure.
    unsafe { libc::geteuid() == 0 }
}
