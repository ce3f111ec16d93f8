//! Loss, duplication, reordering.
