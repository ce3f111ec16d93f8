//! Names that tell whose a lab is, locks that tell whether it is still in use, and the removal of dead ones.

use crate::namespace::Namespace;
use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions, create_dir, create_dir_all, read_dir, remove_dir_all, remove_file};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the locks and the labs' files lie.
const FOLDER: &str = "/run/guideway-lab";
/// What the name of every lab of a test begins with.
const PREFIX: &str = "gwlab-";
/// What the name of the folder of a lab's files ends with.
const FILES: &str = ".files";
/// The lock that lets one lab have the machine for itself.
const MACHINE: &str = "machine";

/// A lab's name, owned as long as this value lives. The kernel drops the lock with the process, however it ends.
#[derive(Debug)]
pub(crate) struct Claim {
    name: String,
    path: PathBuf,
    _owner: Flock<File>,
    _machine: Option<Flock<File>>,
}

impl Claim {
    /// A new name for a test's lab. `exclusive` waits until no other lab of a test runs, and keeps others waiting.
    pub(crate) fn test(exclusive: bool) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let mode = if exclusive { FlockArg::LockExclusive } else { FlockArg::LockShared };
        let machine = lock(&lock_path(MACHINE)?, mode)?;
        Self::with(name, Some(machine))
    }

    /// A given name, which must be free.
    pub(crate) fn named(name: &str) -> Result<Self> {
        Self::with(name.to_owned(), None)
    }

    fn with(name: String, machine: Option<Flock<File>>) -> Result<Self> {
        let path = lock_path(&name)?;
        let owner = lock(&path, FlockArg::LockExclusiveNonblock)
            .with_context(|| format!("another process owns the lab '{name}'"))?;
        Ok(Self { name, path, _owner: owner, _machine: machine })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The folder of a lab's files, removed with this value unless it is kept.
#[derive(Debug)]
pub(crate) struct Files {
    path: PathBuf,
    pub(crate) kept: bool,
}

impl Files {
    pub(crate) fn create(claim: &Claim) -> Result<Self> {
        let path = files_path(&claim.name);
        create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, kept: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.kept {
            let _ = remove_dir_all(&self.path);
        }
    }
}

fn files_path(lab: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{lab}{FILES}"))
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = remove_file(&self.path);
    }
}

fn lock_path(name: &str) -> Result<PathBuf> {
    create_dir_all(FOLDER).with_context(|| format!("cannot create {FOLDER}"))?;
    Ok(Path::new(FOLDER).join(name))
}

fn lock(path: &Path, mode: FlockArg) -> Result<Flock<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    Flock::lock(file, mode).map_err(|(_, error)| anyhow!("cannot lock {}: {error}", path.display()))
}

/// Removes the namespaces of labs whose process is gone, with everything that runs in them; their names.
///
/// A lab in use and one that was kept on purpose under a name of its own are left alone.
pub fn remove_leftovers() -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let Ok(entries) = read_dir(FOLDER) else { return Ok(removed) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || name.ends_with(FILES) {
            continue;
        }
        // The lock can be had only when its owner is gone.
        if let Ok(claim) = Claim::named(&name) {
            removed.extend(remove_all(&claim)?);
        }
    }
    Ok(removed)
}

/// Removes every namespace and all files of a lab; the namespaces' names.
pub(crate) fn remove_all(claim: &Claim) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in read_dir("/run/netns").into_iter().flatten().flatten() {
        let namespace = entry.file_name().to_string_lossy().into_owned();
        if namespace.strip_prefix(claim.name()).is_some_and(|rest| rest.starts_with('.')) {
            drop(Namespace::adopt(&namespace)?);
            removed.push(namespace);
        }
    }
    drop(Files { path: files_path(claim.name()), kept: false });
    Ok(removed)
}
