//! Wishes about pages of memory.

use std::ops::Range;

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Asks the kernel to back these addresses with huge pages where it allows that (transparent huge pages `madvise` or
/// `always`), as far as whole ones lie in them, and to do so at once where it knows how (Linux 6.1). Whether it does is its own
/// affair; what lies there stays as it is.
pub fn prefer_huge_pages(memory: Range<usize>) {
    let (start, end) = (memory.start.next_multiple_of(HUGE), memory.end / HUGE * HUGE);
    if start < end {
        // SAFETY: the advice changes no byte, whatever lies there; for addresses that are not mapped it is an error, which
        // means the same as being ignored.
        unsafe {
            let first = std::ptr::without_provenance_mut(start);
            libc::madvise(first, end - start, libc::MADV_HUGEPAGE);
            libc::madvise(first, end - start, libc::MADV_COLLAPSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_changes_nothing_and_may_be_given_about_anything() {
        let memory = vec![7_u8; 5 * HUGE];
        let start = memory.as_ptr().addr();
        prefer_huge_pages(start..start + memory.len());
        prefer_huge_pages(start..start + 1);
        prefer_huge_pages(0..HUGE);
        assert!(memory.iter().all(|byte| *byte == 7));
    }
}
