//! Trace-id and parent-id: never zero, so that no code has to ask.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

use super::hex::{self, FieldError};
use crate::json::names;

/// `trace-id`: 16 bytes, never all zero. W3C Trace Context Level 2, "trace-id".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(NonZeroU128);

impl TraceId {
    /// The smallest id, for a source of ids that gives nothing but zeros.
    pub const MIN: Self = Self(NonZeroU128::MIN);

    /// Reads exactly 32 lowercase hex digits that are not all zero.
    pub fn parse(field: &[u8]) -> Result<Self, FieldError> {
        let digits = field.try_into().map_err(|_| FieldError::Length { found: field.len() })?;
        Self::from_u128(hex::lower32(digits)?).ok_or(FieldError::AllZero)
    }

    /// `None` for zero, which no specification allows.
    pub const fn from_u128(id: u128) -> Option<Self> {
        match NonZeroU128::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The id as a big-endian number, as the specification reads it.
    pub const fn get(self) -> u128 {
        self.0.get()
    }

    /// Wire bytes, most significant first (OTLP `trace_id`).
    pub const fn to_bytes(self) -> [u8; 16] {
        self.get().to_be_bytes()
    }

    /// 32 lowercase hex digits.
    pub fn hex(self) -> [u8; 32] {
        hex::write32(self.get())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.get())
    }
}

names! {
    /// How new trace-ids are made. Both are continued alike, and both carry enough randomness for consistent sampling.
    pub enum TraceIdFormat {
        /// 128 random bits (W3C Trace Context Level 2).
        W3c = "w3c",
        /// The second of the trace's start and 96 random bits, as X-Ray's own SDKs make them: for collectors whose X-Ray
        /// exporter still refuses ids without a time in them.
        XRay = "xray",
    }
}

/// `parent-id` (OTel: span id): 8 bytes, never all zero. W3C Trace Context Level 2, "parent-id".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// The smallest id, for a source of ids that gives nothing but zeros.
    pub const MIN: Self = Self(NonZeroU64::MIN);

    /// Reads exactly 16 lowercase hex digits that are not all zero.
    pub fn parse(field: &[u8]) -> Result<Self, FieldError> {
        let digits = field.try_into().map_err(|_| FieldError::Length { found: field.len() })?;
        Self::from_u64(hex::lower16(digits)?).ok_or(FieldError::AllZero)
    }

    /// `None` for zero, which no specification allows.
    pub const fn from_u64(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The id as a big-endian number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Wire bytes, most significant first (OTLP `span_id`).
    pub const fn to_bytes(self) -> [u8; 8] {
        self.get().to_be_bytes()
    }

    /// 16 lowercase hex digits.
    pub fn hex(self) -> [u8; 16] {
        hex::write16(self.get())
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.get())
    }
}

/// `trace-flags`: bit 0 `sampled`, bit 1 `random` (Level 2). Every other bit is read as zero and written as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceFlags(u8);

impl TraceFlags {
    const SAMPLED: u8 = 0b01;
    const RANDOM: u8 = 0b10;

    /// Keeps the two bits that Level 2 defines.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::SAMPLED | Self::RANDOM))
    }

    /// The byte on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The caller may have recorded this trace.
    pub const fn sampled(self) -> bool {
        self.0 & Self::SAMPLED != 0
    }

    /// The right-most 56 bits of the trace-id are random.
    pub const fn random(self) -> bool {
        self.0 & Self::RANDOM != 0
    }

    /// The same flags with `sampled` set to this.
    pub const fn with_sampled(self, sampled: bool) -> Self {
        Self((self.0 & !Self::SAMPLED) | sampled as u8)
    }

    /// The same flags with `random` set to this.
    pub const fn with_random(self, random: bool) -> Self {
        Self((self.0 & !Self::RANDOM) | ((random as u8) << 1))
    }
}
