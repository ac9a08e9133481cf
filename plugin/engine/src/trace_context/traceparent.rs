//! The `traceparent` header. W3C Trace Context Level 2, "Traceparent Header".

use super::hex::{self, FieldError};
use super::{SpanId, TraceFlags, TraceId, scan};

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

/// Why a `traceparent` was refused. The trace restarts then, whatever the reason.
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
        let value = if value.len() == TRACEPARENT_LEN { value } else { scan::trim(value) };
        let length = TraceParentError::Length { found: value.len() };
        let Some((fields, rest)) = value.split_first_chunk::<TRACEPARENT_LEN>() else {
            return Err(length);
        };
        let [version_high, version_low, b'-', fields @ ..] = fields else {
            return Err(TraceParentError::Delimiter);
        };
        let Some((trace_id, [b'-', fields @ ..])) = fields.split_at_checked(32) else {
            return Err(TraceParentError::Delimiter);
        };
        let Some((parent_id, &[b'-', flags_high, flags_low])) = fields.split_at_checked(16) else {
            return Err(TraceParentError::Delimiter);
        };
        match hex::lower_byte([*version_high, *version_low]) {
            Ok(0) if rest.is_empty() => {}
            Ok(0) => return Err(length),
            Ok(0xff) | Err(_) => return Err(TraceParentError::Version),
            Ok(_) if matches!(rest, [] | [b'-', ..]) => {}
            Ok(_) => return Err(length),
        }
        let trace_id = TraceId::parse(trace_id).map_err(TraceParentError::TraceId)?;
        let parent_id = SpanId::parse(parent_id).map_err(TraceParentError::ParentId)?;
        let flags = hex::lower_byte([flags_high, flags_low]).map_err(TraceParentError::Flags)?;
        Ok(Self { trace_id, parent_id, flags: TraceFlags::from_bits(flags) })
    }

    /// The header as version 00, the only version that this plugin writes.
    pub fn write(&self) -> [u8; TRACEPARENT_LEN] {
        let mut text = *b"00-................................-................-..";
        if let Some((trace_id, [_, rest @ ..])) = text.split_at_mut(3).1.split_first_chunk_mut::<32>()
            && let Some((parent_id, [_, flags @ ..])) = rest.split_first_chunk_mut::<16>()
            && let Some(flags) = flags.first_chunk_mut::<2>()
        {
            *trace_id = self.trace_id.hex();
            *parent_id = self.parent_id.hex();
            *flags = hex::write2(self.flags.bits());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace_id in 1_u128.., parent_id in 1_u64.., bits: u8) {
            let header = TraceParent {
                trace_id: TraceId::from_u128(trace_id).unwrap(),
                parent_id: SpanId::from_u64(parent_id).unwrap(),
                flags: TraceFlags::from_bits(bits),
            };
            prop_assert_eq!(TraceParent::parse(&header.write()), Ok(header));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = TraceParent::parse(&bytes);
        }

        #[test]
        fn one_changed_byte_is_refused_or_means_what_it_says(at in 0_usize..TRACEPARENT_LEN, byte: u8) {
            let mut text = *b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            text[at] = byte;
            if let Ok(header) = TraceParent::parse(&text) {
                prop_assert_eq!(&header.write()[3..53], &text[3..53]);
            }
        }
    }
}
