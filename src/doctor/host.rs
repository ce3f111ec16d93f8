//! The machine as its kernel's files tell it, below a root that tests replace.

use guideway_config::core_list;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A machine.
pub(super) struct Host {
    root: PathBuf,
}

impl Host {
    /// The machine that this runs on.
    pub(super) fn this() -> Self {
        Self::under(Path::new("/"))
    }

    /// A machine whose files lie below `root`.
    pub(super) fn under(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether it is this one: then the kernel can be asked what no file says.
    pub(super) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where an absolute path lies.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The text of a file without white space at its ends; `None` if it is not there or may not be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }

    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// A list of cores such as `0-3,8`; none if the file is not there or empty.
    pub(super) fn cores(&self, path: &str) -> BTreeSet<usize> {
        self.read(path).and_then(|list| core_list(&list)).unwrap_or_default()
    }

    /// The names in a directory, sorted.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// The last part of what a link points to.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    /// The words behind a name of /proc/cpuinfo, of the first core.
    pub(super) fn processor(&self, field: &str) -> Vec<String> {
        let text = self.read("/proc/cpuinfo").unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.trim() == field).map(|(_, value)| value.to_owned());
        found.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// The number of each NUMA node, and its cores.
    pub(super) fn nodes(&self) -> Vec<(u64, BTreeSet<usize>)> {
        let folder = "/sys/devices/system/node";
        let number = |name: &String| name.strip_prefix("node")?.parse().ok();
        let mut numbers: Vec<u64> = self.list(folder).iter().filter_map(number).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|node| (node, self.cores(&format!("{folder}/node{node}/cpulist")))).collect()
    }

    /// The NUMA node of a core; `None` if the kernel has no nodes.
    pub(super) fn node_of(&self, core: usize) -> Option<u64> {
        self.nodes().into_iter().find(|(_, cores)| cores.contains(&core)).map(|(node, _)| node)
    }
}

/// `1`, `1-3`, `1-3,8`: a list of cores as kernel options take it.
pub(super) fn ranges(cores: &BTreeSet<usize>) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            _ => parts.push((core, core)),
        }
    }
    let part =
        |&(first, last): &(usize, usize)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_written_as_they_are_read() {
        for list in ["0", "1-3", "1-3,8", "0,2,4-5"] {
            assert_eq!(ranges(&core_list(list).unwrap()), list);
        }
        assert_eq!(ranges(&BTreeSet::new()), "");
    }
}
