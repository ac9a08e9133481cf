//! From the context that leaves with a request to its headers.

use super::xray::{self, XRayHeader};
use super::{Extracted, HeaderEdit, OutgoingContext, Propagator, TraceFlags, TraceParent, b3, names};

/// Hands over what has to become of each header of the listed propagators. A header that stays as it is is not named;
/// those of propagators that are not listed are never touched.
///
/// `tracestate` is the edit of [`Extracted::trace_state`]; a `tracestate` that was discarded, or that came without a valid
/// `traceparent`, is removed whatever it says. Beside one form of B3 the other is removed, or a reader could prefer the
/// stale one.
pub fn inject(
    propagators: &[Propagator],
    context: &OutgoingContext,
    tracestate: HeaderEdit,
    extracted: &Extracted,
    set: &mut impl FnMut(&'static str, HeaderEdit),
) {
    for &propagator in propagators {
        match propagator {
            Propagator::TraceContext => set(names::TRACEPARENT, replace(&traceparent(context).write())),
            Propagator::XRay => {
                let incoming = extracted.xray.as_deref().and_then(|text| XRayHeader::parse(text).ok());
                set(names::XRAY, HeaderEdit::Replace(xray::write(context, incoming.as_ref())));
            }
            Propagator::B3 => {
                set(names::B3, replace(&b3::write(context)));
                if !propagators.contains(&Propagator::B3Multi) {
                    [
                        names::B3_TRACE_ID,
                        names::B3_SPAN_ID,
                        names::B3_SAMPLED,
                        names::B3_PARENT_SPAN_ID,
                        names::B3_FLAGS,
                    ]
                    .into_iter()
                    .for_each(|name| set(name, HeaderEdit::Remove));
                }
            }
            Propagator::B3Multi => {
                set(names::B3_TRACE_ID, replace(&context.trace_id.hex()));
                set(names::B3_SPAN_ID, replace(&context.span_id.hex()));
                set(names::B3_SAMPLED, replace(if context.sampled { b"1" } else { b"0" }));
                set(names::B3_PARENT_SPAN_ID, HeaderEdit::Remove);
                set(names::B3_FLAGS, HeaderEdit::Remove);
                if !propagators.contains(&Propagator::B3) {
                    set(names::B3, HeaderEdit::Remove);
                }
            }
        }
    }
    if propagators.contains(&Propagator::TraceContext) {
        let edit = match tracestate {
            HeaderEdit::Replace(value) => HeaderEdit::Replace(value),
            HeaderEdit::Keep | HeaderEdit::Remove if extracted.tracestate_absent => return,
            HeaderEdit::Keep if extracted.tracestate_valid => return,
            HeaderEdit::Keep | HeaderEdit::Remove => HeaderEdit::Remove,
        };
        set(names::TRACESTATE, edit);
    }
}

fn traceparent(context: &OutgoingContext) -> TraceParent {
    let flags = TraceFlags::default().with_sampled(context.sampled).with_random(context.random);
    TraceParent { trace_id: context.trace_id, parent_id: context.span_id, flags }
}

fn replace(value: &[u8]) -> HeaderEdit {
    HeaderEdit::Replace(value.to_vec())
}
