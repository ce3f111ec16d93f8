//! What one word of the pin table says.

use super::clock::{PinClock, Tick};
use crate::ids::BackendId;

const BACKEND: u32 = 32;
const STATE: u32 = 48;
const TICK: u32 = 51;
/// Where the five bits of the tick of an embryonic pin begin.
const SHORT_TICK: u32 = 59;
/// The lowest bit of a sequence number that an embryonic pin keeps.
const SEQUENCE: u32 = 17;
/// The state of a claim: what is to become a pin, if nobody else puts one in for the same flow.
const CLAIM: u64 = 0b111 << STATE;

/// How far a flow has come, as far as its pin knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PinState {
    /// A SYN came, and nothing else yet.
    Embryonic = 1,
    /// The same, longer than `arm_time` ago: a sweep made it so. Of its tick only the high bits are kept.
    Aged = 2,
    /// A packet came.
    Single = 3,
    /// A second one came at least a tick later: hardly made up by a flood.
    Confirmed = 4,
    /// As [`PinState::Single`], and the client sent FIN or RST: a SYN begins a new flow.
    SingleClosing = 5,
    /// As [`PinState::Confirmed`], and the client sent FIN or RST: a SYN begins a new flow.
    Closing = 6,
}

impl PinState {
    /// Whether the client ended the flow.
    #[inline]
    #[must_use]
    pub const fn is_closing(self) -> bool {
        matches!(self, Self::SingleClosing | Self::Closing)
    }

    /// Whether no packet but SYNs came.
    #[inline]
    #[must_use]
    pub const fn is_embryonic(self) -> bool {
        matches!(self, Self::Embryonic | Self::Aged)
    }

    /// Whether it is never evicted.
    #[inline]
    #[must_use]
    pub const fn is_confirmed(self) -> bool {
        matches!(self, Self::Confirmed | Self::Closing)
    }

    const fn closing(self) -> Self {
        match self {
            Self::Confirmed | Self::Closing => Self::Closing,
            _ => Self::SingleClosing,
        }
    }
}

/// A pin: one flow's backend, and when it was used last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin(u64);

impl Pin {
    /// The pin of a flow that a SYN with this sequence number starts.
    #[must_use]
    pub const fn embryonic(tag: u32, backend: BackendId, sequence: u32, now: Tick) -> Self {
        let low = (sequence >> SEQUENCE & 0xff) as u64;
        Self::raw(tag, backend, PinState::Embryonic).with(TICK, low).with(SHORT_TICK, now.fine() as u64)
    }

    /// The pin of a flow of which one packet came; `closing` if that was its last.
    #[must_use]
    pub const fn single(tag: u32, backend: BackendId, closing: bool, now: Tick) -> Self {
        let state = if closing { PinState::SingleClosing } else { PinState::Single };
        Self::raw(tag, backend, state).with(TICK, now.0 as u64)
    }

    const fn raw(tag: u32, backend: BackendId, state: PinState) -> Self {
        Self(tag as u64 | (backend.0 as u64) << BACKEND | (state as u64) << STATE)
    }

    const fn with(self, at: u32, bits: u64) -> Self {
        Self(self.0 | bits << at)
    }

    /// The pin in a word; `None` if it is empty, or claimed and no pin yet.
    #[inline]
    #[must_use]
    pub const fn of_word(word: u64) -> Option<Self> {
        if word == 0 || Self::is_claim(word) { None } else { Some(Self(word)) }
    }

    /// The pin that is in a word or may come there: good for its tag and its backend.
    pub(super) const fn of_word_or_claim(word: u64) -> Option<Self> {
        if word == 0 { None } else { Some(Self(word)) }
    }

    /// Whether somebody is about to put a pin into this word.
    pub(super) const fn is_claim(word: u64) -> bool {
        word & CLAIM == CLAIM
    }

    /// The word that claims a place for this pin.
    pub(super) const fn claim(self) -> u64 {
        self.0 | CLAIM
    }

    /// The word.
    #[inline]
    #[must_use]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Bits 0..32 of the flow's hash.
    #[inline]
    #[must_use]
    pub const fn tag(self) -> u32 {
        self.0 as u32
    }

    /// Whom it names.
    #[inline]
    #[must_use]
    pub const fn backend(self) -> BackendId {
        BackendId((self.0 >> BACKEND) as u16)
    }

    /// How far the flow has come.
    #[inline]
    #[must_use]
    pub const fn state(self) -> PinState {
        match self.0 >> STATE & 0b111 {
            1 => PinState::Embryonic,
            2 => PinState::Aged,
            3 => PinState::Single,
            5 => PinState::SingleClosing,
            6 => PinState::Closing,
            // No other value is ever that of a pin: what names nothing is kept, not evicted.
            _ => PinState::Confirmed,
        }
    }

    const fn tick(self) -> Tick {
        Tick((self.0 >> TICK) as u16)
    }

    const fn short_tick(self) -> u16 {
        (self.0 >> SHORT_TICK) as u16
    }

    /// Ticks since the last use; negative if another worker's clock is ahead. Of an aged pin some too few, since it must not
    /// expire early.
    #[inline]
    #[must_use]
    pub const fn age(self, now: Tick, clock: &PinClock) -> i32 {
        match self.state() {
            PinState::Embryonic => now.since_fine(self.short_tick()),
            PinState::Aged => clock.since_coarse(now, self.short_tick()),
            _ => now.since(self.tick()),
        }
    }

    /// Whether it was not used for longer than `idle` ticks, and as many more as whoever asks allows for. An embryonic pin
    /// does not expire before a sweep made it an aged one.
    #[inline]
    #[must_use]
    pub const fn is_expired(self, now: Tick, clock: &PinClock, idle: u16, margin: u16) -> bool {
        !matches!(self.state(), PinState::Embryonic) && self.age(now, clock) > idle as i32 + margin as i32
    }

    /// Whether it is an embryonic pin that had more time than a handshake takes.
    #[inline]
    #[must_use]
    pub const fn is_late(self, now: Tick, clock: &PinClock) -> bool {
        match self.state() {
            PinState::Aged => true,
            PinState::Embryonic => self.age(now, clock) > clock.arm_ticks() as i32,
            _ => false,
        }
    }

    /// Whether a SYN with this sequence number is a retransmission of the one that made this embryonic pin.
    #[inline]
    #[must_use]
    pub const fn is_same_syn(self, sequence: u32) -> bool {
        self.sequence_bits() == (sequence >> SEQUENCE) as u8
    }

    /// Whether a segment may be of the flow that the SYN of this embryonic pin started: its sequence number lies less than
    /// 2^17 to 2^18 behind the SYN's.
    #[inline]
    #[must_use]
    pub const fn is_near(self, sequence: u32) -> bool {
        ((sequence >> SEQUENCE) as u8).wrapping_sub(self.sequence_bits()) <= 1
    }

    const fn sequence_bits(self) -> u8 {
        (self.0 >> TICK) as u8
    }

    /// The same pin after another SYN of its flow.
    #[must_use]
    pub const fn after_syn(self, sequence: u32, now: Tick) -> Self {
        match self.state() {
            PinState::Embryonic | PinState::Aged => Self::embryonic(self.tag(), self.backend(), sequence, now),
            // The new flow of the same name lives on this pin until it sends more.
            state => self.used(state, now),
        }
    }

    /// The same pin after another packet of its flow; `closes` if that was FIN.
    #[must_use]
    pub const fn after_packet(self, closes: bool, now: Tick) -> Self {
        let later = now.since(self.tick()) >= 1;
        let state = match self.state() {
            PinState::Embryonic | PinState::Aged => PinState::Single,
            PinState::Single if later => PinState::Confirmed,
            PinState::SingleClosing if later => PinState::Closing,
            state => state,
        };
        let state = if closes { state.closing() } else { state };
        if self.state().is_embryonic() {
            return Self::raw(self.tag(), self.backend(), state).with(TICK, now.0 as u64);
        }
        self.used(state, now)
    }

    /// The pin in a word if it has this tick, and another packet of its flow in the same tick leaves it as it is.
    #[inline(always)]
    pub(super) const fn used_at(word: u64, now: Tick) -> Option<Self> {
        // Both states follow each other, and the tick stands above them.
        const _: () = assert!(PinState::Single as u8 + 1 == PinState::Confirmed as u8 && STATE + 3 == TICK);
        let single = now.0 << 3 | PinState::Single as u16;
        if ((word >> STATE) as u16).wrapping_sub(single) <= 1 { Some(Self(word)) } else { None }
    }

    /// The same pin after a packet that ends its flow without being one of it that is waited for: RST.
    #[must_use]
    pub const fn closed(self) -> Self {
        match self.state() {
            // It has no tick of its own to go on with: what is embryonic ends by itself.
            PinState::Embryonic | PinState::Aged => self,
            state => Self::raw(self.tag(), self.backend(), state.closing()).with(TICK, self.tick().0 as u64),
        }
    }

    /// With this state, and used now. Never back in time: a worker whose clock is a tick behind leaves the tick alone.
    const fn used(self, state: PinState, now: Tick) -> Self {
        let tick = if now.since(self.tick()) > 0 { now } else { self.tick() };
        Self::raw(self.tag(), self.backend(), state).with(TICK, tick.0 as u64)
    }

    /// An embryonic pin as a sweep leaves it when it is late.
    #[must_use]
    pub(super) const fn aged(self, now: Tick, clock: &PinClock) -> Self {
        Self::raw(self.tag(), self.backend(), PinState::Aged)
            .with(TICK, self.sequence_bits() as u64)
            .with(SHORT_TICK, clock.coarse(now) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: u32 = 0xdead_beef;
    const ID: BackendId = BackendId(0xabcd);

    fn clock() -> PinClock {
        PinClock::new(std::time::Duration::from_secs(900), std::time::Duration::from_secs(3))
    }

    #[test]
    fn fields_do_not_touch_each_other() {
        for (state, closing) in [(PinState::Single, false), (PinState::SingleClosing, true)] {
            let pin = Pin::single(TAG, ID, closing, Tick(0x1fff));
            assert_eq!((pin.tag(), pin.backend(), pin.state(), pin.tick()), (TAG, ID, state, Tick(0x1fff)));
        }
        let pin = Pin::embryonic(TAG, ID, 0x01fe_0000, Tick(0x1fff));
        assert_eq!((pin.tag(), pin.backend(), pin.state()), (TAG, ID, PinState::Embryonic));
        assert_eq!((pin.sequence_bits(), pin.short_tick()), (0xff, 0x1f));
        let aged = pin.aged(Tick(0x1234), &clock());
        assert_eq!((aged.tag(), aged.backend(), aged.state()), (TAG, ID, PinState::Aged));
        assert_eq!((aged.sequence_bits(), aged.short_tick()), (0xff, 0x12));
    }

    #[test]
    fn a_flow_is_known_by_its_sequence_numbers() {
        let pin = Pin::embryonic(TAG, ID, 0xffff_0000, Tick(0));
        assert!(pin.is_same_syn(0xffff_0000) && !pin.is_same_syn(0xfeff_0000) && !pin.is_same_syn(0));
        assert!(pin.is_near(0xffff_0001) && pin.is_near(0x0001_0000), "also across the wrap");
        assert!(!pin.is_near(0x0002_0000) && !pin.is_near(0xfffd_ffff) && !pin.is_near(0x8100_0000));
    }

    #[test]
    fn a_pin_is_confirmed_a_tick_later() {
        let syn = Pin::embryonic(TAG, ID, 7, Tick(100));
        let first = syn.after_packet(false, Tick(100));
        assert_eq!(first.state(), PinState::Single);
        assert_eq!(first.after_packet(false, Tick(100)), first, "within a tick nothing is written");
        let second = first.after_packet(false, Tick(101));
        assert_eq!((second.state(), second.tick()), (PinState::Confirmed, Tick(101)));
        assert_eq!(second.after_packet(false, Tick(100)), second, "a clock that is behind changes nothing");
        let fin = second.after_packet(true, Tick(105));
        assert_eq!((fin.state(), fin.tick()), (PinState::Closing, Tick(105)));
        assert_eq!(fin.after_packet(false, Tick(106)).state(), PinState::Closing);
        assert_eq!(second.closed().state(), PinState::Closing);
        assert_eq!(second.closed().tick(), Tick(101));
        assert_eq!(first.after_packet(true, Tick(100)).state(), PinState::SingleClosing);
        assert_eq!(syn.closed(), syn);
    }

    #[test]
    fn pins_expire_after_their_time_and_not_before() {
        let pin = Pin::single(TAG, ID, false, Tick(8_000));
        for age in 0..=2_048_u16 {
            let now = Tick((8_000 + age) & 0x1fff);
            assert_eq!(pin.is_expired(now, &clock(), 1_000, 1), age > 1_001, "{age}");
        }
        assert!(!pin.is_expired(Tick(7_999), &clock(), 10, 1), "the future is fresh");
        let syn = Pin::embryonic(TAG, ID, 7, Tick(100));
        assert!(!syn.is_expired(Tick(3_000), &clock(), 10, 1));
        for age in 0..=2_048_u16 {
            let aged = syn.aged(Tick(100), &clock());
            assert!(!aged.is_expired(Tick(100 + age), &clock(), age, 1), "{age}");
        }
        assert!(syn.aged(Tick(100), &clock()).is_expired(Tick(100 + 2_048), &clock(), 1_000, 4));
    }
}
