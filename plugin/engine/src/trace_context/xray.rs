//! The `X-Amzn-Trace-Id` header: `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=<0|1|?>`, fields in any order.
//! AWS X-Ray developer guide, "Tracing header".

use super::hex::{self, FieldError};
use super::{CallerDecision, OutgoingContext, ParentContext, SpanId, TraceId, scan};

/// Longest header that is read, in bytes; four times what AWS's own propagators let through.
pub const MAX_XRAY_LEN: usize = 1024;

/// Bytes of `Root=…;Parent=…;Sampled=…` as this plugin writes it.
const WRITTEN_LEN: usize = 74;

/// A readable `X-Amzn-Trace-Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XRayHeader<'a> {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's segment; `None` is what a load balancer sends for a trace that it started.
    pub parent_id: Option<SpanId>,
    /// The `Sampled` field.
    pub sampled: XRaySampled,
    /// What a load balancer on the way called itself; of no use to anybody after us.
    pub self_id: Option<&'a [u8]>,
    text: &'a [u8],
}

/// What `Sampled` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XRaySampled {
    /// `1`
    Yes,
    /// `0`
    No,
    /// `?`: the callee decides, and says so in its response.
    Ask,
    /// No such field.
    Absent,
}

/// Why an `X-Amzn-Trace-Id` was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XRayError {
    /// Longer than [`MAX_XRAY_LEN`].
    Length {
        /// Bytes found.
        found: usize,
    },
    /// A byte that is not printable ASCII, or a `,`: two headers joined, of which neither can be preferred.
    Byte,
    /// A field without `=`, or without a name.
    PairWithoutEquals,
    /// No `Root`.
    NoRoot,
    /// `Root` is not of version 1, or not two groups of 8 and 24 lowercase hex digits, or all zero.
    Root(FieldError),
    /// `Parent` is no id.
    Parent(FieldError),
    /// `Sampled` is none of `0`, `1`, `?`.
    Sampled,
    /// `Root`, `Parent`, `Sampled` or `Self` twice.
    Repeated,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Root,
    Parent,
    Sampled,
    Itself,
    Other,
}

impl<'a> XRayHeader<'a> {
    /// Reads the header. Field names and ids are read in any case; white space around fields and empty fields are tolerated, and
    /// a field without a value is as good as none.
    pub fn parse(text: &'a [u8]) -> Result<Self, XRayError> {
        if MAX_XRAY_LEN < text.len() {
            return Err(XRayError::Length { found: text.len() });
        }
        if text.iter().any(|byte| !matches!(byte, b' '..=b'~' | b'\t') || *byte == b',') {
            return Err(XRayError::Byte);
        }
        let (mut root, mut parent, mut state, mut itself) = (None, None, None, None);
        for field in fields(text) {
            let (name, value) = split(field).ok_or(XRayError::PairWithoutEquals)?;
            if value.is_empty() {
                continue; // As if it were not there.
            }
            let slot = match kind(name) {
                Field::Root => &mut root,
                Field::Parent => &mut parent,
                Field::Sampled => &mut state,
                Field::Itself => &mut itself,
                Field::Other => continue,
            };
            if slot.replace(value).is_some() {
                return Err(XRayError::Repeated);
            }
        }
        Ok(Self {
            trace_id: read_root(root.ok_or(XRayError::NoRoot)?).map_err(XRayError::Root)?,
            parent_id: parent
                .map(|id| SpanId::parse(&id.to_ascii_lowercase()))
                .transpose()
                .map_err(XRayError::Parent)?,
            sampled: match state {
                None => XRaySampled::Absent,
                Some(b"0") => XRaySampled::No,
                Some(b"1") => XRaySampled::Yes,
                Some(b"?") => XRaySampled::Ask,
                Some(_) => return Err(XRayError::Sampled),
            },
            self_id: itself,
            text,
        })
    }

    /// The fields that are carried on as they are, in order: `Lineage` and whatever else AWS invents.
    pub fn others(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        fields(self.text).filter(|field| split(field).is_some_and(|(name, _)| kind(name) == Field::Other))
    }

    /// The context to continue. X-Ray has no random flag.
    pub fn context(&self) -> ParentContext {
        let decision = match self.sampled {
            XRaySampled::Yes => CallerDecision::Sampled,
            XRaySampled::No => CallerDecision::NotSampled,
            XRaySampled::Ask | XRaySampled::Absent => CallerDecision::Deferred,
        };
        ParentContext { trace_id: self.trace_id, parent_id: self.parent_id, decision, random: false }
    }
}

/// The header for the upstream, with the other fields of the one that came in behind ours.
pub fn write(context: &OutgoingContext, incoming: Option<&XRayHeader<'_>>) -> Vec<u8> {
    let others = incoming.map_or(0, |header| header.text.len());
    let mut text = Vec::with_capacity(others.saturating_add(WRITTEN_LEN + 1));
    let trace_id = context.trace_id.hex();
    let (epoch, unique) = epoch_and_unique(&trace_id);
    let state: &[u8] = if context.sampled { b"1" } else { b"0" };
    for part in [b"Root=1-", epoch, b"-", unique, b";Parent=", &context.span_id.hex(), b";Sampled=", state] {
        text.extend_from_slice(part);
    }
    for field in incoming.into_iter().flat_map(XRayHeader::others) {
        text.push(b';');
        text.extend_from_slice(field);
    }
    text
}

/// The two parts that X-Ray writes a trace-id in.
fn epoch_and_unique(trace_id: &[u8; 32]) -> (&[u8], &[u8]) {
    trace_id.split_at_checked(8).unwrap_or_default()
}

/// The header of the answer to `Sampled=?`: what was decided, and no parent. AWS X-Ray developer guide, "Tracing header".
pub fn answer(trace_id: TraceId, sampled: bool) -> Vec<u8> {
    let trace_id = trace_id.hex();
    let (epoch, unique) = epoch_and_unique(&trace_id);
    let state: &[u8] = if sampled { b"1" } else { b"0" };
    [b"Root=1-", epoch, b"-", unique, b";Sampled=", state].concat()
}

fn fields(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b';').map(scan::trim).filter(|field| !field.is_empty())
}

fn split(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = field.split_at_checked(field.iter().position(|&byte| byte == b'=')?)?;
    if name.is_empty() { None } else { Some((name, value.split_first()?.1)) }
}

fn kind(name: &[u8]) -> Field {
    let known: [(&[u8], Field); 4] =
        [(b"root", Field::Root), (b"parent", Field::Parent), (b"sampled", Field::Sampled), (b"self", Field::Itself)];
    known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map_or(Field::Other, |(_, kind)| kind)
}

/// `1-<8 digits>-<24 digits>`: the 32 digits of a W3C trace-id, in both directions without loss.
fn read_root(root: &[u8]) -> Result<TraceId, FieldError> {
    let length = FieldError::Length { found: root.len() };
    let root = root.to_ascii_lowercase(); // AWS states no case.
    let [b'1', b'-', digits @ ..] = &root[..] else { return Err(length) };
    let Some((epoch, [b'-', unique @ ..])) = digits.split_at_checked(8) else { return Err(length) };
    if unique.len() != 24 {
        return Err(length);
    }
    let number = (hex::lower(epoch)? << 96) | hex::lower(unique)?;
    TraceId::from_u128(number).ok_or(FieldError::AllZero)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793";

    #[test]
    fn a_question_mark_and_a_bare_root_leave_the_decision_to_us() {
        for (rest, expected) in [("", XRaySampled::Absent), (";Sampled=?", XRaySampled::Ask)] {
            let text = format!("{ROOT}{rest}");
            let header = XRayHeader::parse(text.as_bytes()).unwrap();
            assert_eq!(header.sampled, expected);
            assert_eq!((header.context().decision, header.context().parent_id), (CallerDecision::Deferred, None));
        }
    }

    #[test]
    fn a_field_without_a_value_is_absent_and_ids_are_read_in_any_case() {
        let wanted = XRayHeader::parse(ROOT.as_bytes()).unwrap();
        for (text, sampled) in [
            (format!("{ROOT};Parent=;Sampled=0"), XRaySampled::No),
            (format!("{ROOT};Parent=;Sampled="), XRaySampled::Absent),
            (format!("{ROOT};Self=;Sampled=1"), XRaySampled::Yes),
            ("Root=1-5759E988-BD862E3FE1BE46A994272793;Sampled=1".to_owned(), XRaySampled::Yes),
        ] {
            let header = XRayHeader::parse(text.as_bytes()).unwrap();
            assert_eq!((header.trace_id, header.parent_id), (wanted.trace_id, None), "{text}");
            assert_eq!(header.sampled, sampled, "{text}");
        }
        assert_eq!(XRayHeader::parse(b"Root=;Sampled=1"), Err(XRayError::NoRoot));
        let upper = format!("{ROOT};Parent=53995C3F42CD8AD8");
        assert_eq!(XRayHeader::parse(upper.as_bytes()).unwrap().parent_id, SpanId::parse(b"53995c3f42cd8ad8").ok());
    }

    #[test]
    fn what_cannot_be_read_with_certainty_is_refused() {
        for (rest, expected) in [
            (";Parent=53995c3f42cd8ad", XRayError::Parent(FieldError::Length { found: 15 })),
            (";Parent=0000000000000000", XRayError::Parent(FieldError::AllZero)),
            (";root=1-5759e988-bd862e3fe1be46a994272794", XRayError::Repeated),
            (";Foo=1,Root=1-5759e988-bd862e3fe1be46a994272793", XRayError::Byte),
            (";Foo=\r\nX: y", XRayError::Byte),
            (";Foo=\0", XRayError::Byte),
            (";Foo=\u{e9}", XRayError::Byte),
            (";=1", XRayError::PairWithoutEquals),
        ] {
            assert_eq!(XRayHeader::parse(format!("{ROOT}{rest}").as_bytes()), Err(expected), "{rest:?}");
        }
        let long = format!("{ROOT};Foo={}", "a".repeat(MAX_XRAY_LEN));
        assert_eq!(XRayHeader::parse(long.as_bytes()), Err(XRayError::Length { found: long.len() }));
    }

    #[test]
    fn lineage_and_unknown_fields_follow_ours_in_order_and_self_does_not() {
        let text =
            format!("Self=1-67891233-12456789abcdef012345678a; Lineage=32767:e65a2c4d:255 ;{ROOT};Sampled=0;x=a=b;");
        let header = XRayHeader::parse(text.as_bytes()).unwrap();
        assert_eq!(header.self_id, Some(&b"1-67891233-12456789abcdef012345678a"[..]));
        let span_id = SpanId::from_u64(0x53995c3f42cd8ad8).unwrap();
        let context =
            OutgoingContext { trace_id: header.trace_id, span_id, sampled: true, random: false, debug: false };
        assert_eq!(
            String::from_utf8(write(&context, Some(&header))).unwrap(),
            format!("{ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=32767:e65a2c4d:255;x=a=b")
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace_id in 1_u128.., span_id in 1_u64.., sampled: bool) {
            let trace_id = TraceId::from_u128(trace_id).unwrap();
            let span_id = SpanId::from_u64(span_id).unwrap();
            let text = write(&OutgoingContext { trace_id, span_id, sampled, random: false, debug: false }, None);
            prop_assert_eq!(text.len(), WRITTEN_LEN);
            let read = XRayHeader::parse(&text).unwrap();
            prop_assert_eq!((read.trace_id, read.parent_id), (trace_id, Some(span_id)));
            prop_assert_eq!(read.sampled, if sampled { XRaySampled::Yes } else { XRaySampled::No });
        }

        #[test]
        fn no_bytes_make_it_panic_and_what_is_carried_on_is_printable(bytes: Vec<u8>, extra in "[ -~]{0,40}") {
            let _ = XRayHeader::parse(&bytes);
            let text = format!("{ROOT};{extra}");
            if let Ok(header) = XRayHeader::parse(text.as_bytes()) {
                prop_assert!(header.others().all(|field| field.iter().all(|byte| matches!(byte, b' '..=b'~'))));
            }
        }
    }
}
