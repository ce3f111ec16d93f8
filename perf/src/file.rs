//! Files that are there whole or not at all.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes `contents` beside `path` and renames the result to it, so that no reader and no crash meets half a file.
/// A link is followed; what is not a regular file, such as `/dev/stdout`, is written to as it is.
///
/// # Errors
///
/// What the operating system says; then `path` is as it was.
pub fn write(path: &Path, contents: &str) -> io::Result<()> {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::OpenOptions::new().write(true).open(&target)?.write_all(contents.as_bytes());
    }
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The user's mask applies, as to any new file.
    let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(directory)?;
    file.write_all(contents.as_bytes())?;
    file.persist(&target)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_what_was_there_and_leaves_nothing_beside_it() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("a.json");
        write(&path, "a longer text than the next")?;
        write(&path, "new")?;
        assert_eq!(fs::read_to_string(&path)?, "new");
        assert_eq!(fs::read_dir(directory.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_link_stays_one() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let [path, link] = ["a", "b"].map(|name| directory.path().join(name));
        write(&path, "old")?;
        std::os::unix::fs::symlink(&path, &link)?;
        write(&link, "new")?;
        assert_eq!(fs::read_to_string(&path)?, "new");
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        Ok(())
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() -> io::Result<()> {
        write(Path::new("/dev/null"), "text")?;
        assert!(!fs::metadata("/dev/null")?.is_file());
        Ok(())
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        assert!(write(Path::new("/nowhere/a.json"), "text").is_err());
    }
}
