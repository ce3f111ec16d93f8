//! What tests need before they start: the right to run at all, and the programs of this crate.

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Whether a lab can be built here. Prints `skipped: …` and returns false where it cannot.
///
/// # Panics
///
/// In continuous integration (`CI=true`), where no test may be skipped.
pub fn runnable(test: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: network namespaces need root, and CI skips nothing");
    // Written past the test harness, which keeps what passing tests print to itself.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: network namespaces need root");
    false
}

/// Lets this process have as many open files as it may: for tests with thousands of sockets.
pub fn raise_file_limit() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files is unknown")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot raise the limit of open files")
}

/// The path of a program of this crate (`decap`, `demo`, `quic_peer`).
///
/// Looks beside the running executable and in the folder above it, which is where cargo puts programs when the
/// executable is a test.
pub fn helper(name: &str) -> Result<PathBuf> {
    let executable = std::env::current_exe().context("the path of the running executable is unknown")?;
    let candidates = executable.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    match candidates.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!(
            "the program '{name}' is not beside {}: build it with 'cargo build -p guideway-lab --bins' \
             in the same profile and target folder",
            executable.parent().unwrap_or(Path::new("/")).display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::helper;

    #[test]
    fn a_missing_program_says_how_to_build_it() {
        let error = helper("no-such-program").expect_err("there is none").to_string();
        assert!(error.contains("cargo build -p guideway-lab --bins"), "{error}");
    }
}
