//! Big bodies over HTTP in both directions, byte for byte.

use crate::setup::Site;
use anyhow::{Context, Result, ensure};
use guideway_lab::nginx::BIG_BYTES;
use std::net::SocketAddr;
use std::path::Path;

/// `/big`, byte for byte.
pub fn download(site: &Site, target: SocketAddr) -> Result<()> {
    let got = site.lab.folder().join("download");
    site.curl(&["-o", &got.to_string_lossy(), &format!("http://{target}/big")])?;
    let (got, sent) = (std::fs::read(&got)?, std::fs::read(site.lab.backend(1).folder().join("root/big"))?);
    ensure!(got.len() == BIG_BYTES && got == sent, "{target}: {} bytes of a download are not what was sent", got.len());
    Ok(())
}

/// A file posted, and read again where the backend put it.
pub fn post(site: &Site, target: SocketAddr, file: &Path) -> Result<()> {
    let body = format!("@{}", file.display());
    let backend = site.curl(&["--data-binary", &body, &format!("http://{target}/upload")])?;
    arrived(site, &backend, file).with_context(|| target.to_string())
}

/// What the backend that answers so to an upload has got last is this file.
pub fn arrived(site: &Site, answer: &str, file: &Path) -> Result<()> {
    let host = site.lab.backends().iter().find(|host| host.name() == answer.trim());
    let folder = host.with_context(|| format!("no backend answers {answer:?}"))?.folder().join("body");
    let newest = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).max().context("no upload")?;
    let (got, sent) = (std::fs::read(&newest)?, std::fs::read(file)?);
    ensure!(got == sent, "{} bytes of an upload are not what was sent", got.len());
    Ok(())
}

/// Bytes that no compression and no shift by some bytes leaves as they are (xorshift, Marsaglia 2003).
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(length)
    .collect()
}
