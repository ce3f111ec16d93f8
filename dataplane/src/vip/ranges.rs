//! Port ranges of one address and protocol: port → entry in two reads, however many ranges there are.

use super::VipEntry;
use std::collections::HashMap;

/// Ports that share a page: those with the same high byte.
const PAGE: usize = 256;

/// The first and the last port of a range, and whose it is.
pub(super) type PortRange = (u16, u16, VipEntry);

/// Which range of an address takes a port. Immutable.
#[derive(Clone, Debug)]
pub(super) struct PortRanges {
    /// By the high byte of a port: index into `pages`.
    blocks: [u16; PAGE],
    /// By the low byte of a port: index into `entries` plus one; 0: no range. Equal pages are one.
    pages: Vec<[u16; PAGE]>,
    entries: Vec<VipEntry>,
}

impl PortRanges {
    /// The map of these inclusive ranges. Where two overlap the first wins (a configuration with such is refused).
    pub(super) fn new(ranges: &[PortRange]) -> Self {
        let mut owners = vec![0_u16; 1 << 16];
        for (owner, &(low, high, _)) in (1..).zip(ranges) {
            for port in low..=high {
                let place = &mut owners[usize::from(port)];
                *place = if *place == 0 { owner } else { *place };
            }
        }
        let mut known = HashMap::new();
        let mut pages = Vec::new();
        let mut blocks = [0; PAGE];
        for (block, page) in blocks.iter_mut().zip(owners.as_chunks::<PAGE>().0) {
            *block = *known.entry(*page).or_insert_with(|| {
                pages.push(*page);
                (pages.len() - 1) as u16
            });
        }
        Self { blocks, pages, entries: ranges.iter().map(|range| range.2).collect() }
    }

    /// The entry of the range that holds `port`.
    pub(super) fn lookup(&self, port: u16) -> Option<VipEntry> {
        let [high, low] = port.to_be_bytes();
        let page = self.pages.get(usize::from(self.blocks[usize::from(high)]))?;
        let owner = usize::from(page[usize::from(low)]).checked_sub(1)?;
        self.entries.get(owner).copied()
    }
}
