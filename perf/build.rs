//! Tells the crate which commit it is built from: `GUIDEWAY_REVISION`, the hash with `-dirty` behind it if what is
//! measured has changes that are not committed, or "unknown" outside of this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What figures come from, seen from the root of the repository. A change of any of it builds this crate anew anyway.
const MEASURED: [&str; 7] = ["Cargo.toml", "Cargo.lock", "config", "control", "dataplane", "ffi", "perf"];

/// Files of git that change when a commit is made or another one is checked out.
const MOVED: [&str; 3] = ["HEAD", "logs/HEAD", "packed-refs"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let revision = revision(&root).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=GUIDEWAY_REVISION={revision}");
}

fn revision(root: &Path) -> Option<String> {
    // A copy of the sources inside of another repository is not a commit of that one.
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let commit = git(root, &["rev-parse", "HEAD"])?;
    watch(root);
    let status = [&["status", "--porcelain", "--"][..], &MEASURED].concat();
    let clean = git(root, &status)?.is_empty();
    Some(if clean { commit } else { format!("{commit}-dirty") })
}

/// Runs this script again when the answer may be another one.
fn watch(root: &Path) {
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]);
    let of_git = MOVED.into_iter().chain(branch.as_deref());
    let paths = of_git.filter_map(|name| git(root, &["rev-parse", "--git-path", name])).map(PathBuf::from);
    // A file that does not exist counts as changed, each time.
    for path in paths.chain(MEASURED.map(PathBuf::from)).map(|path| root.join(path)).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// What git prints; `None` if it fails or is not there.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    // A look at the status must not write to the repository.
    let output = Command::new("git").arg("--no-optional-locks").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout))?.ok()?;
    Some(text.trim_end().to_owned())
}
