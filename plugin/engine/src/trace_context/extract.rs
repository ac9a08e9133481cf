//! From the headers of a request to the context that it continues.

use super::b3::{self, B3};
use super::tracestate::Shape;
use super::xray::{XRayHeader, XRaySampled};
use super::{CallerDecision, Headers, ParentContext, Propagator, TraceParent, TraceState, names};

/// How the `traceparent` of a request of Tracelift's own begins; its purpose and version follow. W3C Trace Context Level 2
/// forbids version `ff`, so that no context begins like it.
pub const OWN_MARK: &str = "ff-tracelift-";
/// The whole of that for a recall; its version follows.
pub const RECALL_MARK: &str = "ff-tracelift-recall-";
/// The same for the list of upgrades.
pub const UPGRADES_MARK: &str = "ff-tracelift-upgrades-";

/// A request of Tracelift's own, by its mark: not a request of the mesh's applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnRequest {
    /// Another instance recalls traces, by this version of the protocol; 0 where it is not one digit.
    Recall(u8),
    /// The pod's application asks which traces were upgraded, by some version of the protocol.
    Upgrades,
}

/// What the headers said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// The context to continue; `None`: this request starts a trace.
    pub parent: Option<ParentContext>,
    /// The propagator that it came from.
    pub from: Option<Propagator>,
    /// `tracestate` as received, its lines joined by `,`. Asked for only beside a `traceparent` of the parent's trace.
    pub tracestate: Option<Vec<u8>>,
    /// There is a `tracestate` and it keeps to the grammar. One that does not is discarded.
    pub tracestate_valid: bool,
    /// There was a `traceparent` that could not be read.
    pub traceparent_invalid: bool,
    /// There was a header of some listed format that could not be read.
    pub invalid: bool,
    /// A caller's decision: of the parent, or without ids for the trace that begins here (B3: `b3: 0`).
    pub decision: CallerDecision,
    /// B3's debug flag of this trace, which is to be preserved. OpenTelemetry API specification, "B3 Extract".
    pub debug: bool,
    /// It is a mark of [`OWN_MARK`]'s family instead.
    pub own: Option<OwnRequest>,
    /// `X-Amzn-Trace-Id` as received, for its other fields; asked for whenever `xray` is listed.
    pub xray: Option<Vec<u8>>,
    /// `X-Amzn-Trace-Id` of this trace says `Sampled=?`: the caller wants to hear our decision in the response.
    pub xray_asks: bool,
    /// There is none, where it was asked for.
    pub(super) traceparent_absent: bool,
    /// Likewise.
    pub(super) tracestate_absent: bool,
    shape: Shape,
}

impl Extracted {
    /// The `tracestate` of the parent; an empty one when there is none or it was discarded.
    pub fn trace_state(&self) -> TraceState<'_> {
        match &self.tracestate {
            Some(combined) if self.tracestate_valid => TraceState::with_shape(combined, self.shape.clone()),
            _ => TraceState::empty(),
        }
    }

    /// Forgets the caller: the request starts a trace. Its headers are replaced, and removed where nothing is written in their
    /// place.
    pub fn restart(&mut self) {
        let (traceparent_absent, tracestate_absent) = (self.traceparent_absent, self.tracestate_absent);
        *self = Self { traceparent_absent, tracestate_absent, ..Self::default() };
    }

    /// Whether a header that is about to be written is not there yet: adding it is cheaper than replacing it.
    pub fn lacks(&self, name: &str) -> bool {
        (self.traceparent_absent && name == names::TRACEPARENT) || (self.tracestate_absent && name == names::TRACESTATE)
    }

    /// Takes over what a later format has decided for the same trace, where the one believed has left it open.
    fn adopt(&mut self, later: &ParentContext) {
        let Some(parent) = self.parent.as_mut().filter(|parent| parent.trace_id == later.trace_id) else { return };
        if self.decision == CallerDecision::Deferred && later.decision != CallerDecision::Deferred {
            self.decision = later.decision;
            parent.decision = later.decision;
            parent.parent_id = parent.parent_id.or(later.parent_id);
        }
    }

    fn read_tracestate(&mut self, headers: &mut impl Headers) {
        self.tracestate = headers.joined(names::TRACESTATE);
        match &self.tracestate {
            None => self.tracestate_absent = true,
            Some(combined) => {
                if let Ok(state) = TraceState::parse(combined) {
                    self.shape = state.into_shape();
                    self.tracestate_valid = true;
                }
            }
        }
    }

    fn read_traceparent(&mut self, headers: &mut impl Headers) -> Option<TraceParent> {
        let read = |value: &[u8]| TraceParent::parse(value).map_err(|_| own_request(value));
        match headers.read(names::TRACEPARENT, read) {
            Some(Ok(header)) => return Some(header),
            Some(Err(own)) => {
                self.traceparent_invalid = true;
                self.invalid = true;
                self.own = own;
            }
            None => self.traceparent_absent = true,
        }
        None
    }
}

/// Which request of Tracelift's own this `traceparent` marks.
pub fn own_request(traceparent: &[u8]) -> Option<OwnRequest> {
    if traceparent.starts_with(UPGRADES_MARK.as_bytes()) {
        return Some(OwnRequest::Upgrades);
    }
    Some(OwnRequest::Recall(match traceparent.strip_prefix(RECALL_MARK.as_bytes())? {
        [digit @ b'0'..=b'9'] => digit & 0xf,
        _ => 0,
    }))
}

/// Reads the context that the request continues: the first listed propagator with a valid one is believed, and no header
/// of a later one is asked for, but for three reasons. `X-Amzn-Trace-Id` is read when `xray` is listed, since it will be
/// rewritten with its other fields kept; `traceparent` when it is listed behind the one believed, since its
/// `tracestate` and random flag are good as well if it means the same trace; and where the one believed has left the decision
/// open, the first later one that has decided for the same trace decides.
pub fn extract(propagators: &[Propagator], headers: &mut impl Headers) -> Extracted {
    let mut extracted = Extracted::default();
    let mut b3_read = false;
    for &propagator in propagators {
        let parent = match propagator {
            Propagator::TraceContext => trace_context(&mut extracted, headers),
            Propagator::XRay => xray(&mut extracted, headers),
            Propagator::B3 | Propagator::B3Multi if b3_read => None, // Both read both forms.
            Propagator::B3 | Propagator::B3Multi => {
                b3_read = true;
                b3(&mut extracted, headers)
            }
        };
        if let Some(context) = &parent {
            extracted.decision = context.decision;
            extracted.parent = parent;
            extracted.from = Some(propagator);
            break;
        }
    }
    let Some(from) = extracted.from else {
        if extracted.traceparent_absent {
            extracted.tracestate_absent = headers.read(names::TRACESTATE, |_| ()).is_none();
        }
        return extracted;
    };
    let later = propagators.iter().skip_while(|&&propagator| propagator != from).skip(1);
    for propagator in later {
        match propagator {
            Propagator::TraceContext => same_trace(&mut extracted, headers),
            Propagator::XRay => beside(&mut extracted, headers),
            Propagator::B3 | Propagator::B3Multi if !b3_read && extracted.decision == CallerDecision::Deferred => {
                b3_read = true;
                if let Some(context) = b3(&mut extracted, headers) {
                    extracted.adopt(&context);
                }
            }
            Propagator::B3 | Propagator::B3Multi => {}
        }
    }
    extracted
}

fn trace_context(extracted: &mut Extracted, headers: &mut impl Headers) -> Option<ParentContext> {
    let header = extracted.read_traceparent(headers)?;
    extracted.read_tracestate(headers);
    let decision = CallerDecision::of(header.flags.sampled());
    Some(ParentContext {
        trace_id: header.trace_id,
        parent_id: Some(header.parent_id),
        decision,
        random: header.flags.random(),
    })
}

/// Another propagator was believed: `traceparent` adds what that one has no field for.
fn same_trace(extracted: &mut Extracted, headers: &mut impl Headers) {
    let Some(header) = extracted.read_traceparent(headers) else { return };
    if let Some(parent) = extracted.parent.as_mut().filter(|parent| parent.trace_id == header.trace_id) {
        parent.random = header.flags.random();
        let context = ParentContext {
            parent_id: Some(header.parent_id),
            decision: CallerDecision::of(header.flags.sampled()),
            ..*parent
        };
        extracted.adopt(&context);
        extracted.read_tracestate(headers);
    }
}

/// Another propagator was believed: what `X-Amzn-Trace-Id` asks of the same trace is answered all the same.
fn beside(extracted: &mut Extracted, headers: &mut impl Headers) {
    extracted.xray = headers.joined(names::XRAY);
    let Some(text) = extracted.xray.as_deref() else { return };
    let Ok(header) = XRayHeader::parse(text) else {
        extracted.invalid = true;
        return;
    };
    let (context, asks) = (header.context(), header.sampled == XRaySampled::Ask);
    if extracted.parent.is_some_and(|parent| parent.trace_id == context.trace_id) {
        extracted.xray_asks = asks;
        extracted.adopt(&context);
    }
}

fn xray(extracted: &mut Extracted, headers: &mut impl Headers) -> Option<ParentContext> {
    extracted.xray = headers.joined(names::XRAY);
    let Ok(header) = XRayHeader::parse(extracted.xray.as_deref()?) else {
        extracted.invalid = true;
        return None;
    };
    extracted.xray_asks = header.sampled == XRaySampled::Ask;
    Some(header.context())
}

/// One header comes before several. A decision that comes without ids is for the trace that begins here, unless another format
/// brings a trace.
fn b3(extracted: &mut Extracted, headers: &mut impl Headers) -> Option<ParentContext> {
    let single = headers.joined(names::B3);
    let mut read = single.as_deref().map(b3::parse);
    if !matches!(read, Some(Ok(_))) {
        let sampled = headers.joined(names::B3_SAMPLED);
        let flags = headers.joined(names::B3_FLAGS);
        let ids = (headers.joined(names::B3_TRACE_ID), headers.joined(names::B3_SPAN_ID));
        read = match ids {
            (Some(trace_id), Some(span_id)) => {
                Some(b3::parse_multi(&trace_id, &span_id, sampled.as_deref(), flags.as_deref()))
            }
            (None, None) if sampled.is_some() || flags.is_some() => {
                Some(b3::parse_state(sampled.as_deref(), flags.as_deref()))
            }
            (None, None) => read,
            _ => Some(Err(b3::B3Error::Fields)),
        };
    }
    match read? {
        Ok(B3 { context: Some(context), state }) => {
            extracted.debug = state.debug;
            Some(context)
        }
        Ok(B3 { context: None, state }) => {
            if extracted.parent.is_none() {
                extracted.decision = state.decision;
                extracted.debug = state.debug;
            }
            None
        }
        Err(_) => {
            extracted.invalid = true;
            None
        }
    }
}
