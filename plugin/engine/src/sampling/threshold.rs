//! `th` and R, in 56-bit integers. Floats stop at [`Threshold::from_ratio`].

use std::fmt;
use std::num::NonZeroU64;

use crate::trace_context::{FieldError, TraceId, hex};

/// Hex digits of a 56-bit number.
const DIGITS: usize = 14;
/// 2^56: the number of equally likely values of R.
const RANGE: u64 = 1 << 56;
/// Significant digits of a threshold made from a ratio: the OTel default, and the collector's.
const PRECISION: usize = 4;

/// Rejection threshold T: how many of 2^56 equally likely traces are dropped, so always below 2^56.
/// OTel "TraceState: Probability Sampling". Wire form: the `th` sub-key of the `ot` list-member.
///
/// Held as T + 1, so that an `Option` of one takes no more room: every request carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold(NonZeroU64);

impl Threshold {
    /// T = 0, which keeps everything: `th:0`.
    pub const ALWAYS: Self = Self(NonZeroU64::MIN);

    /// 1 to 14 lowercase hex digits, left-aligned: `c` is 0xc0_0000_0000_0000, which keeps 25 %.
    pub fn parse(th: &[u8]) -> Result<Self, FieldError> {
        let found = th.len();
        if found == 0 || DIGITS < found {
            return Err(FieldError::Length { found });
        }
        let digits = hex::lower(th)? as u64; // 14 digits are 56 bits: no truncation.
        Ok(Self::of(digits << (4 * (DIGITS - found))))
    }

    /// `None` from 2^56 on: that would keep nothing, and "nothing" has no threshold.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits < RANGE { Some(Self::of(bits)) } else { None }
    }

    /// The threshold that keeps this share of all traces, 2^-56 to 1, written in four significant hex digits.
    /// Rounded as the collector's `pkg/sampling` does, to whose th ours must be equal for equal settings.
    pub fn from_ratio(ratio: f64) -> Result<Self, RatioError> {
        Self::from_ratio_with_digits(ratio, PRECISION)
    }

    /// Like [`Threshold::from_ratio`] with `digits` (1 to 14, else the nearest) significant hex digits. Leading `f`s and
    /// zeros do not count as significant, so that neither a small nor a large ratio loses precision.
    pub fn from_ratio_with_digits(ratio: f64, digits: usize) -> Result<Self, RatioError> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(RatioError::OutOfRange); // NaN too.
        }
        let scaled = ratio * RANGE as f64; // A power of two: exact.
        if scaled < 1.0 {
            return Err(RatioError::TooSmall);
        }
        if ratio == 1.0 {
            return Ok(Self::ALWAYS);
        }
        let whole = scaled as u64;
        let half_up = u64::from(0.5 <= scaled - whole as f64); // Above 2^53 there is no fraction, below it this is exact.
        let exact = RANGE.saturating_sub(whole.saturating_add(half_up));
        let leading = leading_digits(ratio).max(leading_digits(1.0 - ratio));
        let cut = 4 * DIGITS.saturating_sub(digits.max(1).saturating_add(leading)); // Bits that the text will not show.
        let half = (1u64 << cut) >> 1;
        let rounded = ((exact + half) >> cut) << cut; // Both terms are below 2^57.
        Ok(Self::of(rounded.min(RANGE - 1)))
    }

    /// T must be below 2^56.
    const fn of(bits: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(bits))
    }

    /// T, below 2^56.
    pub const fn bits(self) -> u64 {
        self.0.get() - 1
    }

    /// The specification's comparison: keep if R >= T.
    pub const fn keeps(self, randomness: Randomness) -> bool {
        self.bits() <= randomness.0
    }

    /// How many traces a kept one stands for: 2^56 / (2^56 - T), from 1 to 2^56.
    pub fn adjusted_count(self) -> f64 {
        RANGE as f64 / (RANGE - self.bits()) as f64
    }

    /// The share of traces that is kept, from 2^-56 to 1: the ratio after its rounding.
    pub fn probability(self) -> f64 {
        (RANGE - self.bits()) as f64 / RANGE as f64
    }
}

/// How many hex digits of `x` (in 0 to 1) are zero before the first other one, by its exponent alone as the collector
/// counts them: `x` = m 2^e with 0.5 <= m < 1 has floor(-e / 4).
fn leading_digits(x: f64) -> usize {
    let biased = (x.to_bits() >> 52) & 0x7ff;
    1022u64.saturating_sub(biased) as usize / 4 // At most 1022.
}

/// R: 56 random bits that every stage of a trace sees alike. OTel "TraceState: Probability Sampling".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Randomness(u64);

impl Randomness {
    /// The right-most 56 bits of the trace-id: R of a trace without an explicit `rv`.
    pub const fn from_trace_id(id: TraceId) -> Self {
        Self(id.get() as u64 & (RANGE - 1))
    }

    /// An explicit `rv`; bits above the 56th, which no 14 digits have, are ignored.
    pub const fn from_rv(rv: u64) -> Self {
        Self(rv & (RANGE - 1))
    }

    /// R, below 2^56.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// Why a number is no sampling ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatioError {
    /// Below 0, above 1 or not a number.
    OutOfRange,
    /// Below 2^-56 without being a setting for "never": no threshold keeps so little.
    TooSmall,
}

impl fmt::Display for RatioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "is outside 0 to 1",
            Self::TooSmall => "is above 0 but below 2^-56, the smallest ratio that a threshold can express",
        })
    }
}

impl std::error::Error for RatioError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_th_is_read_left_aligned_and_only_in_lowercase() {
        let cases: [(&[u8], Result<u64, FieldError>); 8] = [
            (b"0", Ok(0)),
            (b"c", Ok(0xc0_0000_0000_0000)),
            (b"e666", Ok(0xe6_6600_0000_0000)),
            (b"ffffffffffffff", Ok(0xff_ffff_ffff_ffff)),
            (b"", Err(FieldError::Length { found: 0 })),
            (b"000000000000000", Err(FieldError::Length { found: 15 })),
            (b"C", Err(FieldError::NotLowerHex { at: 0, byte: b'C' })),
            (b"0+", Err(FieldError::NotLowerHex { at: 1, byte: b'+' })),
        ];
        for (th, wanted) in cases {
            assert_eq!(Threshold::parse(th).map(Threshold::bits), wanted, "{}", th.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_ratio_has_no_threshold() {
        let cases = [
            (0.0, RatioError::TooSmall),
            (-0.0, RatioError::TooSmall),
            (2f64.powi(-57), RatioError::TooSmall),
            (f64::MIN_POSITIVE / 2.0, RatioError::TooSmall),
            (-0.1, RatioError::OutOfRange),
            (1.000_000_1, RatioError::OutOfRange),
            (f64::NAN, RatioError::OutOfRange),
            (f64::INFINITY, RatioError::OutOfRange),
        ];
        for (ratio, wanted) in cases {
            assert_eq!(Threshold::from_ratio(ratio), Err(wanted), "{ratio}");
        }
    }

    #[test]
    fn the_smallest_ratio_keeps_one_value_and_the_largest_below_one_is_not_one() {
        assert_eq!(Threshold::from_ratio(2f64.powi(-56)).unwrap().bits(), RANGE - 1);
        assert_eq!(Threshold::from_ratio(0.999_999_999_999_999_9).unwrap().bits(), 8);
        assert_eq!(Threshold::from_ratio(1.0), Ok(Threshold::ALWAYS));
    }

    #[test]
    fn nothing_from_two_to_the_56th_on_is_a_threshold() {
        assert_eq!(Threshold::from_bits(RANGE), None);
        assert_eq!(Threshold::from_bits(RANGE - 1).unwrap().adjusted_count(), 2f64.powi(56));
        assert_eq!(Threshold::ALWAYS.adjusted_count(), 1.0);
        assert_eq!(Threshold::parse(b"c").unwrap().probability(), 0.25);
        assert_eq!(size_of::<Option<Threshold>>(), 8);
    }

    #[test]
    fn r_is_the_low_seven_bytes() {
        let id = TraceId::parse(b"ffffffffffffffffab0123456789abcd").unwrap();
        assert_eq!(Randomness::from_trace_id(id).bits(), 0x01_2345_6789_abcd);
        assert_eq!(Randomness::from_rv(0xff01_2345_6789_abcd), Randomness::from_trace_id(id));
    }
}
