//! What a table holds for each slot.

/// The most backends in one pool: their indices are 15 bits, of which the highest value means that there is none.
pub const MAX_POOL_BACKENDS: usize = 0x7fff;

/// Top bit: the slot is in any phase but steady.
const SPECIAL: u16 = 0x8000;

/// A slot of a table: the index of a backend in its pool, and whether the slot is *special*.
///
/// A slot without a backend holds an index that lies past the end of every pool. The bounds check of the lookup in the
/// pool's list finds it, so a packet pays nothing for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Slot(u16);

// A table of 65,537 slots takes an eighth of a usual second-level cache.
const _: () = assert!(size_of::<Slot>() == 2);

impl Slot {
    /// No backend at all.
    pub const EMPTY: Self = Self(MAX_POOL_BACKENDS as u16);

    /// A steady slot of the backend with this index in its pool; [`EMPTY`](Self::EMPTY) for an index of
    /// [`MAX_POOL_BACKENDS`] or more.
    #[inline]
    #[must_use]
    pub const fn new(index: u16) -> Self {
        if index < MAX_POOL_BACKENDS as u16 { Self(index) } else { Self::EMPTY }
    }

    /// The backend's index in its pool. Of an empty slot it is [`MAX_POOL_BACKENDS`], past the end of every pool.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        (self.0 & !SPECIAL) as usize
    }

    /// Whether the slot names no backend.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.index() == MAX_POOL_BACKENDS
    }

    /// Whether the slot is special: in any phase but steady.
    #[inline]
    #[must_use]
    pub const fn is_special(self) -> bool {
        self.0 & SPECIAL != 0
    }

    /// The same backend, the slot special or steady.
    #[inline]
    #[must_use]
    pub const fn with_special(self, special: bool) -> Self {
        Self(self.0 & !SPECIAL | if special { SPECIAL } else { 0 })
    }
}
