//! The state of each backend, indexed by its id.

use super::check::MAX_OUTSTANDING;
use super::dampen::{Dampened, Level};
use super::hold_down::HoldDown;
use super::report::Reason;
use super::results::Results;
use super::tick::Tick;
use guideway_dataplane::time::Nanos;

/// [`Hot::group`] of an id that is not probed.
const ABSENT: u16 = u16::MAX;
/// [`Cold::rtt`] before the first answer.
pub(super) const NO_RTT: u32 = u32::MAX;

/// What a probe and its answer touch, four backends to a cache line:
///
/// | bytes | field | |
/// | --- | --- | --- |
/// | 0..4 | `sent` | send time of the newest round, in ticks |
/// | 4..8 | `round` | number of the newest round |
/// | 8..10 | `group` | index of addresses, timing and packet template |
/// | 10..12 | `stamp` | which entry of the schedule is current |
/// | 12..14 | `run` | results in a row, [`Dampened::run`] |
/// | 14 | `outstanding` | bit i: round − i has no result yet |
/// | 15 | `flags` | bits 0..2 level, bit 2 half-open, bit 3 doubted |
#[derive(Clone, Copy)]
pub(super) struct Hot {
    pub sent: Tick,
    pub round: u32,
    pub group: u16,
    pub stamp: u16,
    run: i16,
    pub outstanding: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Hot>() == 16);
const _: () = assert!(MAX_OUTSTANDING == u8::BITS);

const LEVEL: u8 = 0b11;
const HALF_OPEN: u8 = 0b100;
const DOUBTED: u8 = 0b1000;

impl Hot {
    const ABSENT: Self =
        Self { sent: Tick(0), round: 0, group: ABSENT, stamp: 0, run: 0, outstanding: 0, flags: Level::Unknown as u8 };

    pub const fn is_present(&self) -> bool {
        self.group != ABSENT
    }

    pub const fn dampened(&self) -> Dampened {
        let level = match self.flags & LEVEL {
            1 => Level::Up,
            2 => Level::Down,
            _ => Level::Unknown,
        };
        Dampened { level, run: self.run }
    }

    pub const fn set_dampened(&mut self, state: Dampened) {
        let level = match state.level {
            Level::Unknown => 0,
            Level::Up => 1,
            Level::Down => 2,
        };
        self.flags = self.flags & !LEVEL | level;
        self.run = state.run;
    }

    /// Whether the newest round may have left a half-open connection on the backend: it was neither answered nor
    /// reset yet.
    pub const fn is_half_open(&self) -> bool {
        self.flags & HALF_OPEN != 0
    }

    pub const fn set_half_open(&mut self, half_open: bool) {
        self.flags = self.flags & !HALF_OPEN | if half_open { HALF_OPEN } else { 0 };
    }

    /// Whether the next probe comes out of turn.
    pub const fn is_doubted(&self) -> bool {
        self.flags & DOUBTED != 0
    }

    pub const fn set_doubted(&mut self, doubted: bool) {
        self.flags = self.flags & !DOUBTED | if doubted { DOUBTED } else { 0 };
    }

    /// The bit of `round` in the mask, if the round is outstanding.
    #[inline]
    pub const fn outstanding_bit(&self, round: u32) -> Option<u8> {
        let age = self.round.wrapping_sub(round);
        if age >= MAX_OUTSTANDING {
            return None;
        }
        let bit = self.outstanding & (1 << age);
        if bit == 0 { None } else { Some(bit) }
    }
}

/// What only changes touch.
#[derive(Clone, Copy)]
pub(super) struct Cold {
    pub since: Nanos,
    pub reason: Option<Reason>,
    pub hold: HoldDown,
    /// The number before that of the first round.
    pub first_round: u32,
    pub failed: u32,
    pub void: u32,
    /// Which check of its pool this is.
    pub number: u8,
}

impl Cold {
    const EMPTY: Self =
        Self { since: Nanos(0), reason: None, hold: HoldDown::NEW, first_round: 0, failed: 0, void: 0, number: 0 };
}

/// All backends. The arrays are apart, so that the hot one stays dense.
#[derive(Default)]
pub(super) struct Table {
    hot: Vec<Hot>,
    /// Round-trip time of the last answer in ticks.
    rtts: Vec<u32>,
    cold: Vec<Cold>,
    results: Vec<Results>,
    /// Send times of the rounds before the newest, by round modulo 8. Touched only while probes overlap.
    older: Vec<[Tick; MAX_OUTSTANDING as usize]>,
}

impl Table {
    /// Makes room for ids below `ids`.
    pub fn grow(&mut self, ids: usize) {
        if ids > self.hot.len() {
            self.hot.resize(ids, Hot::ABSENT);
            self.rtts.resize(ids, NO_RTT);
            self.cold.resize(ids, Cold::EMPTY);
            self.results.resize(ids, Results::NONE);
            self.older.resize(ids, [Tick(0); MAX_OUTSTANDING as usize]);
        }
    }

    /// The hot state of a backend that is probed.
    #[inline]
    pub fn hot(&mut self, backend: u16) -> Option<&mut Hot> {
        self.hot.get_mut(usize::from(backend)).filter(|hot| hot.is_present())
    }

    /// A copy of the hot state of a backend that is probed.
    #[inline]
    pub fn peek(&self, backend: u16) -> Option<Hot> {
        self.hot.get(usize::from(backend)).copied().filter(Hot::is_present)
    }

    /// The cold state of an id below the size of the table.
    pub fn cold(&mut self, backend: u16) -> &mut Cold {
        &mut self.cold[usize::from(backend)]
    }

    /// The last results of an id below the size of the table.
    #[inline]
    pub fn results(&mut self, backend: u16) -> &mut Results {
        &mut self.results[usize::from(backend)]
    }

    /// The same, to look at.
    pub fn peek_results(&self, backend: u16) -> &Results {
        &self.results[usize::from(backend)]
    }

    /// A copy of the cold state and the last round-trip time.
    pub fn peek_cold(&self, backend: u16) -> (Cold, u32) {
        (self.cold[usize::from(backend)], self.rtts[usize::from(backend)])
    }

    #[inline]
    pub fn set_rtt(&mut self, backend: u16, ticks: u32) {
        self.rtts[usize::from(backend)] = ticks;
    }

    /// When `round` was sent; `hot` is the backend's state, and the round is outstanding.
    #[inline]
    pub fn sent(&self, backend: u16, hot: &Hot, round: u32) -> Tick {
        if round == hot.round { hot.sent } else { self.older[usize::from(backend)][Self::place(round)] }
    }

    /// Keeps the send time of the newest round before the next one takes its place.
    #[inline]
    pub fn keep_sent(&mut self, backend: u16, round: u32, sent: Tick) {
        self.older[usize::from(backend)][Self::place(round)] = sent;
    }

    /// Starts a backend's state afresh. `round` is the number before that of its first round.
    pub fn start(&mut self, backend: u16, group: u16, round: u32, now: Nanos) {
        let index = usize::from(backend);
        let stamp = self.hot[index].stamp;
        self.hot[index] = Hot { group, round, stamp, ..Hot::ABSENT };
        self.rtts[index] = NO_RTT;
        self.results[index] = Results::NONE;
        self.cold[index] = Cold { since: now, first_round: round, ..Cold::EMPTY };
    }

    /// Stops probing a backend.
    pub fn remove(&mut self, backend: u16) {
        let hot = &mut self.hot[usize::from(backend)];
        *hot = Hot { stamp: hot.stamp, ..Hot::ABSENT };
    }

    /// The ids that are probed, ascending.
    pub fn present(&self) -> Vec<u16> {
        (0u16..).zip(&self.hot).filter(|(_, hot)| hot.is_present()).map(|(id, _)| id).collect()
    }

    const fn place(round: u32) -> usize {
        (round % MAX_OUTSTANDING) as usize
    }
}
