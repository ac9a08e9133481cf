//! The `traceparent` header. W3C Trace Context Level 2, "Traceparent Header".

use super::hex::{self, FieldError};
use super::{SpanId, TraceFlags, TraceId};

/// Bytes of a version 00 header: `00-` 32 digits `-` 16 digits `-` 2 digits.
pub const TRACEPARENT_LEN: usize = 55;

/// What a caller says about the trace, read from `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace that the request belongs to.
    pub trace_id: TraceId,
    /// The caller's span.
    pub parent_id: SpanId,
    /// `sampled` and `random`; the bits that Level 2 does not define are read as zero.
    pub flags: TraceFlags,
}

/// Why a `traceparent` was refused. The trace restarts then, whatever the reason; the reason is for tests and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceParentError {
    /// Too short, or longer than its version allows. Two headers joined by `,` end here.
    Length {
        /// Bytes found, without the white space around.
        found: usize,
    },
    /// A field does not end with `-`.
    Delimiter,
    /// `ff`, or no two lowercase hex digits.
    Version,
    /// The trace-id.
    TraceId(FieldError),
    /// The parent-id.
    ParentId(FieldError),
    /// The trace-flags.
    Flags(FieldError),
}

impl TraceParent {
    /// Reads one header value; space and tab around it are tolerated, as the W3C conformance suite expects.
    ///
    /// A version above 00 is read by its first 55 bytes when nothing or `-` follows them.
    pub fn parse(value: &[u8]) -> Result<Self, TraceParentError> {
        let value = super::scan::trim(value);
        let length = TraceParentError::Length { found: value.len() };
        let Some((fields, rest)) = value.split_at_checked(TRACEPARENT_LEN) else {
            return Err(length);
        };
        let [version_high, version_low, b'-', fields @ ..] = fields else {
            return Err(TraceParentError::Delimiter);
        };
        let Some((trace_id, [b'-', fields @ ..])) = fields.split_at_checked(32) else {
            return Err(TraceParentError::Delimiter);
        };
        let Some((parent_id, [b'-', flags @ ..])) = fields.split_at_checked(16) else {
            return Err(TraceParentError::Delimiter);
        };
        match hex::lower(&[*version_high, *version_low]) {
            Ok(0) if rest.is_empty() => {}
            Ok(0) => return Err(length),
            Ok(0xff) | Err(_) => return Err(TraceParentError::Version),
            Ok(_) => {
                if !matches!(rest, [] | [b'-', ..]) {
                    return Err(length);
                }
            }
        }
        let trace_id = TraceId::parse(trace_id).map_err(TraceParentError::TraceId)?;
        let parent_id = SpanId::parse(parent_id).map_err(TraceParentError::ParentId)?;
        let flags = hex::lower(flags).map_err(TraceParentError::Flags)?;
        Ok(Self { trace_id, parent_id, flags: TraceFlags::from_bits(flags as u8) }) // Two digits are one byte.
    }

    /// The header as version 00, the only version that this plugin writes.
    pub fn write(&self) -> [u8; TRACEPARENT_LEN] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (trace_id, rest) = text[3..].split_at_mut(32);
        let (parent_id, flags) = rest[1..].split_at_mut(16);
        trace_id.copy_from_slice(&self.trace_id.hex());
        parent_id.copy_from_slice(&self.parent_id.hex());
        flags[1..].copy_from_slice(&hex::write::<1, 2>([self.flags.bits()]));
        text
    }
}
