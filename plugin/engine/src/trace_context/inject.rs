//! From the context that leaves with a request to its headers.

use super::xray::{self, XRayHeader};
use super::{Extracted, HeaderEdit, OutgoingContext, Propagator, TraceFlags, TraceParent, b3, names};

/// Hands over each header of the listed propagators that changes, with its new value; without one it is removed. A header
/// that stays as it is is not named; those of propagators that are not listed are never touched.
///
/// `tracestate` is the edit of [`Extracted::trace_state`]; a `tracestate` that was discarded, or that came without a valid
/// `traceparent`, is removed whatever it says. Beside one form of B3 the other is removed, or a reader could prefer the
/// stale one.
pub fn inject(
    propagators: &[Propagator],
    context: &OutgoingContext,
    tracestate: HeaderEdit,
    extracted: &Extracted,
    set: &mut impl FnMut(&'static str, Option<&[u8]>),
) {
    for &propagator in propagators {
        match propagator {
            Propagator::TraceContext => set(names::TRACEPARENT, Some(&traceparent(context).write())),
            Propagator::XRay => {
                let incoming = extracted.xray.as_deref().and_then(|text| XRayHeader::parse(text).ok());
                set(names::XRAY, Some(&xray::write(context, incoming.as_ref())));
            }
            Propagator::B3 => {
                set(names::B3, Some(&b3::write(context)));
                if !propagators.contains(&Propagator::B3Multi) {
                    [
                        names::B3_TRACE_ID,
                        names::B3_SPAN_ID,
                        names::B3_SAMPLED,
                        names::B3_PARENT_SPAN_ID,
                        names::B3_FLAGS,
                    ]
                    .into_iter()
                    .for_each(|name| set(name, None));
                }
            }
            Propagator::B3Multi => {
                set(names::B3_TRACE_ID, Some(&context.trace_id.hex()));
                set(names::B3_SPAN_ID, Some(&context.span_id.hex()));
                // Debug says that the trace is sampled; Zipkin's "B3 Propagation" asks for it alone then.
                let state: Option<&[u8]> = if context.sampled { Some(b"1") } else { Some(b"0") };
                set(names::B3_SAMPLED, state.filter(|_| !context.debug));
                set(names::B3_PARENT_SPAN_ID, None);
                set(names::B3_FLAGS, context.debug.then_some(b"1"));
                if !propagators.contains(&Propagator::B3) {
                    set(names::B3, None);
                }
            }
        }
    }
    if propagators.contains(&Propagator::TraceContext) {
        match tracestate {
            HeaderEdit::Replace(value) => set(names::TRACESTATE, Some(&value)),
            HeaderEdit::Keep | HeaderEdit::Remove if extracted.tracestate_absent => {}
            HeaderEdit::Keep if extracted.tracestate_valid => {}
            HeaderEdit::Keep | HeaderEdit::Remove => set(names::TRACESTATE, None),
        }
    }
}

fn traceparent(context: &OutgoingContext) -> TraceParent {
    let flags = TraceFlags::default().with_sampled(context.sampled).with_random(context.random);
    TraceParent { trace_id: context.trace_id, parent_id: context.span_id, flags }
}
