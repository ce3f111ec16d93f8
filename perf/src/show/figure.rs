//! Numbers as text.

use crate::window::Spread;

/// What stands for thousands of each power.
const SUFFIXES: [(f64, &str); 3] = [(1e9, "G"), (1e6, "M"), (1e3, "k")];

/// Letters of the longest unit behind a number.
const LONGEST_UNIT: usize = 6;

/// A number for a table: whole numbers whole, others with four digits that count.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e15 {
        format!("{value:.0}")
    } else if (1e-4..1e15).contains(&size) {
        // Digits before the point count too, and of 0.00123 the zeros do not.
        let decimals = (3 - size.log10().floor() as i32).max(0);
        trimmed(format!("{value:.*}", decimals as usize))
    } else {
        format!("{value:.3e}")
    }
}

/// The median, and how far it varied if it did.
pub(super) fn spread(value: &Spread) -> String {
    let Spread { median, min, max } = *value;
    if min == max { figure(median) } else { format!("{} ({} - {})", figure(median), figure(min), figure(max)) }
}

/// A number beside a tick of an axis whose ticks are at least `step` apart.
pub(super) fn tick(value: f64, step: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e13).contains(&size) {
        let digits = (size / step).log10().ceil().clamp(0.0, 15.0);
        return format!("{value:.*e}", digits as usize).replace(".0e", "e");
    }
    let (divisor, suffix) = SUFFIXES.into_iter().find(|(divisor, _)| size >= *divisor).unwrap_or((1.0, ""));
    let decimals = (-(step / divisor).log10()).ceil().clamp(0.0, 12.0);
    trimmed(format!("{:.*}", decimals as usize, value / divisor)) + suffix
}

/// Without zeros at the end of a fraction.
fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Whether a cell is a number, perhaps with a sign, a short unit or a range behind it; a dash stands for one.
pub(super) fn looks_like_a_number(cell: &str) -> bool {
    if matches!(cell, "-" | "–") {
        return true;
    }
    let unsigned = cell.trim_start_matches(['-', '+', '~', '<', '>']);
    let letters = unsigned.chars().filter(|c| c.is_alphabetic()).count();
    // "4in4" is a name.
    let in_a_name = |pair: &[u8]| pair[0].is_ascii_alphabetic() && pair[1].is_ascii_digit();
    unsigned.starts_with(|c: char| c.is_ascii_digit())
        && letters <= LONGEST_UNIT
        && !unsigned.as_bytes().windows(2).any(in_a_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_digits() {
        let cases = [
            (0.0, "0"),
            (154.3, "154.3"),
            (154.326, "154.3"),
            (65_537.0, "65537"),
            (65_537.25, "65537"),
            (0.001_234_56, "0.001235"),
            (-2.5, "-2.5"),
            (1e-9, "1.000e-9"),
            (2e15, "2.000e15"),
        ];
        for (value, text) in cases {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn spreads_that_do_not_vary_are_one_number() {
        assert_eq!(spread(&Spread { median: 2.0, min: 1.5, max: 3.0 }), "2 (1.5 - 3)");
        assert_eq!(spread(&Spread { median: 2.0, min: 2.0, max: 2.0 }), "2");
    }

    #[test]
    fn ticks_differ_wherever_their_values_do() {
        assert_eq!(tick(0.0, 50.0), "0");
        assert_eq!(tick(150.0, 50.0), "150");
        assert_eq!(tick(2_500_000.0, 500_000.0), "2.5M");
        assert_eq!(tick(0.02, 0.01), "0.02");
        for (start, step) in [(1e6, 0.5), (0.0, 0.001), (-40.0, 20.0), (9_990.0, 5.0), (1e15, 1e14), (1e-9, 1e-10)] {
            let texts: Vec<_> = (0..5).map(|i| tick(start + f64::from(i) * step, step)).collect();
            assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "{texts:?}");
        }
    }

    #[test]
    fn numbers_are_told_from_names() {
        for number in ["1", "-1.5", "7 %", "2.0 (1.0 - 3.0)", "1.5k", "-", "12 ms", "3.2 Mpps"] {
            assert!(looks_like_a_number(number), "{number}");
        }
        for name in ["ipip 4in4", "4in4", "", "l2dsr", "6in6 tunnel", "2 of the backends"] {
            assert!(!looks_like_a_number(name), "{name}");
        }
    }
}
