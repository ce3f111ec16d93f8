//! Links within the repository lead somewhere.

use crate::page::{self, Page, root};
use anyhow::Result;
use std::path::{Component, Path, PathBuf};

/// Joins a link to the folder of its page, below the repository.
fn target(page: &Page, link: &str) -> PathBuf {
    let mut path = Path::new(&page.name).parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

#[test]
fn links_and_anchors_resolve() -> Result<()> {
    let pages = page::all()?;
    let mut dead = Vec::new();
    for page in &pages {
        for (line, link) in page.links.iter().filter(|(_, link)| !link.contains("://") && !link.starts_with("mailto:"))
        {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if path.is_empty() { PathBuf::from(&page.name) } else { target(page, path) };
            let there = root().join(&path).exists();
            let other = pages.iter().find(|other| Path::new(&other.name) == path);
            let known = anchor.is_empty() || other.is_some_and(|other| other.anchors.iter().any(|have| have == anchor));
            if !there || !known {
                dead.push(format!("{}:{line}: {link}", page.name));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    Ok(())
}
