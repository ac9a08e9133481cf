//! What metrics and coverage read of a request's head and of its answer's, once for both: its method, its scheme, whether it is
//! a call of gRPC, and its route.
//!
//! Apart, and never inlined: where neither is on, a request pays for a test.

use super::RequestContext;
use super::asked::mark;
use super::coverage::Sorted;
use super::measure::Measured;
use crate::door::HeaderView;
use crate::metrics::{Scheme, is_name};
use crate::policy::Policy;
use crate::span::{HttpFacts, KindSetting, METHODS, is_grpc, scheme};

/// The route of a request. A text that is not a template of the configuration is kept beside this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// Unknown.
    #[default]
    Unknown,
    /// A template of the configuration, by its place.
    Template(u16),
    /// A response header said it: the text.
    Header,
    /// A call of gRPC: the text is its path, which is kept for metrics alone.
    Rpc {
        /// The answer's content type was that of gRPC.
        answered: bool,
    },
}

/// A route that a response header said, or the path of a gRPC call.
pub struct Named(pub Box<[u8]>);

/// The first of [`METHODS`], which most requests have.
const GET: u8 = 0;
/// No place among them.
const UNKNOWN: u8 = u8::MAX;

/// What the one pass over a request's head has shown, as numbers: what is ordinary is not looked at again.
#[derive(Clone, Copy, Default)]
pub struct Outline {
    /// The place of the method among those that are known, or [`UNKNOWN`].
    method: Option<u8>,
    is_grpc: bool,
    /// Of `:scheme`.
    sent: Option<Scheme>,
    /// Of `x-forwarded-proto`, where it is one word of lower case.
    forwarded_proto: Option<Scheme>,
    has_forwarded: bool,
}

impl Outline {
    /// Lengths of the names that the head is read for.
    pub const LENGTHS: u64 =
        1 << ":method".len() | 1 << "forwarded".len() | 1 << "content-type".len() | 1 << "x-forwarded-proto".len();

    /// Takes a header, if it is one of them. `content_type`: of those that came before.
    #[inline(always)] // It has one caller.
    pub fn take<'a>(&mut self, content_type: &mut Option<&'a [u8]>, key: &[u8], value: &'a [u8]) {
        match key.len() {
            7 if is(key, b":method") => self.method = self.method.or_else(|| Some(place_of(value))),
            7 if is(key, b":scheme") => self.sent = self.sent.or_else(|| Some(Scheme::of(value))),
            9 if is(key, b"forwarded") => self.has_forwarded = true,
            17 if is(key, b"x-forwarded-proto") => {
                self.forwarded_proto = self.forwarded_proto.or_else(|| Some(Scheme::of_lower(value)));
            }
            12 if is(key, b"content-type") => {
                // A request with two different types has none, as on the span.
                let other = content_type.is_some_and(|known| known != value);
                *content_type = Some(if other { b"" } else { value });
                self.is_grpc = is_grpc(*content_type);
            }
            _ => {}
        }
    }

    /// The scheme of the URL, as the side says it that was called: what a trusted proxy in front says, or what Envoy does.
    fn scheme<'a, V: HeaderView<'a>>(self, trusts: bool, headers: V) -> Scheme {
        let sent = self.sent.unwrap_or_default();
        match (trusts, self.has_forwarded, self.forwarded_proto) {
            (false, ..) | (true, false, None) => sent,
            (true, false, Some(known @ (Scheme::Http | Scheme::Https))) => known,
            _ => forwarded_scheme(headers),
        }
    }
}

/// As the span of the side that was called reads it.
#[inline(never)] // Seldom: lists, capitals and RFC 7239.
fn forwarded_scheme<'a, V: HeaderView<'a>>(headers: V) -> Scheme {
    let facts = HttpFacts {
        scheme: headers.first(":scheme"),
        forwarded: headers.first("forwarded"),
        forwarded_proto: headers.first("x-forwarded-proto"),
        trust_forwarded: true,
        ..HttpFacts::default()
    };
    scheme(&facts, true).map_or(Scheme::Other, |scheme| Scheme::of(scheme.as_bytes()))
}

/// The place of a method among those that are known.
#[inline(always)] // It has one caller.
fn place_of(method: &[u8]) -> u8 {
    match method.first_chunk::<3>() {
        Some(b"GET") if method.len() == 3 => GET,
        _ => find_place(method),
    }
}

#[inline(never)] // Of the others.
fn find_place(method: &[u8]) -> u8 {
    let place = METHODS.iter().position(|known| known.as_bytes() == method);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(UNKNOWN)
}

/// Whether two texts of the same length, of 4 to 24 bytes, are the same: by words, since wasm compares slices byte by byte.
#[inline(always)]
pub(super) fn is<const N: usize>(key: &[u8], name: &[u8; N]) -> bool {
    if N < 8 {
        return key.first_chunk::<4>() == name.first_chunk() && key.last_chunk::<4>() == name.last_chunk();
    }
    let middle = |text: &[u8]| text.get(8..16).and_then(|middle| middle.first_chunk::<8>().copied());
    key.first_chunk::<8>() == name.first_chunk()
        && key.last_chunk::<8>() == name.last_chunk()
        && (N <= 16 || middle(key) == middle(name))
}

/// Reads the head of a request to this path. `counts`: it is counted.
#[inline(never)] // Where neither is on, a request pays for a test.
pub fn requested<'a, V: HeaderView<'a>>(
    policy: &Policy,
    context: &mut RequestContext,
    counts: bool,
    (path, outline, headers): (Option<&[u8]>, Outline, V),
) {
    let Some(settings) = policy.routes() else { return };
    let covers = policy.names.is_some();
    if outline.is_grpc {
        let path = path.unwrap_or_default();
        context.route = Route::Rpc { answered: false };
        if covers {
            let path = path.split(|byte| *byte == b'?').next().unwrap_or(path);
            context.sorted = Some(Sorted::call(mark(path)));
        }
        if counts {
            context.named = Some(Box::new(Named(path.into())));
            context.measured = Some(Measured::call());
        }
        return;
    }
    let path = path.filter(|_| !settings.routes.templates().is_empty());
    context.route = path.and_then(|path| settings.routes.find(path)).map_or(Route::Unknown, Route::Template);
    let method = outline.method.map(usize::from).filter(|place| *place < METHODS.len());
    if covers {
        context.sorted = Some(Sorted::request(method));
    }
    if counts {
        let trusts = !policy.edge && policy.span_kind != KindSetting::Client;
        let schemes = [outline.scheme(trusts, headers), outline.sent.unwrap_or_default()];
        context.measured = Some(Measured::request(method, schemes));
    }
}

/// Reads whether the answer to a gRPC call is one of gRPC, and the route that another answer names. What is no name of a series is no
/// route.
#[inline(always)] // It has one caller, and nearly always nothing to read.
pub fn answered<'a, V: HeaderView<'a>>(policy: &Policy, context: &mut RequestContext, headers: V) {
    if let Route::Rpc { answered } = &mut context.route {
        *answered = is_grpc(headers.first("content-type"));
    } else if let Some(name) = policy.routes().and_then(|settings| settings.route_header.as_deref()) {
        routed(context, name, headers);
    }
}

#[inline(never)] // Where an application says its routes.
fn routed<'a, V: HeaderView<'a>>(context: &mut RequestContext, name: &str, headers: V) {
    let route = headers.first(name).filter(|route| route.starts_with(b"/") && is_name(route));
    if let Some(route) = route {
        context.route = Route::Header;
        context.named = Some(Box::new(Named(route.into())));
    }
}

impl RequestContext {
    /// Metrics or coverage look at it.
    pub(super) fn is_looked_at(&self) -> bool {
        self.measured.is_some() || self.sorted.is_some()
    }

    /// The text beside its route.
    pub(super) fn name(&self) -> &[u8] {
        self.named.as_ref().map_or(&[], |named| &named.0)
    }
}

/// The route of a request whose span is kept, for that span: what is counted or covered by route can be found by route.
#[inline(never)]
pub fn template(policy: &Policy, is_counted: bool, (route, name): (Route, &[u8])) -> Option<Box<[u8]>> {
    // Where only the shadow covers, nothing of what it reads is shown.
    if !is_counted && policy.upgrade.coverage.is_none() && policy.upgrade.slow.is_none() {
        return None;
    }
    match route {
        Route::Unknown | Route::Rpc { .. } => None,
        Route::Template(place) => Some(policy.routes()?.routes.template(place).as_bytes().into()),
        Route::Header => Some(name.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{GET, METHODS, UNKNOWN, is, place_of};

    #[test]
    fn every_method_is_found_at_its_place() {
        for (place, method) in METHODS.iter().enumerate() {
            assert_eq!(usize::from(place_of(method.as_bytes())), place);
        }
        assert_eq!(METHODS[usize::from(GET)], "GET");
        for unknown in ["GETS", "get", "GE", ""] {
            assert_eq!(place_of(unknown.as_bytes()), UNKNOWN, "{unknown}");
        }
    }

    #[test]
    fn names_are_compared_whole() {
        let names: [&[u8]; 5] = [b":path", b":method", b"forwarded", b"content-type", b"x-forwarded-proto"];
        for name in names {
            for at in 0..name.len() {
                let mut other = name.to_vec();
                other[at] ^= 1;
                let same = |key: &[u8]| match key.len() {
                    5 => is(key, b":path"),
                    7 => is(key, b":method"),
                    9 => is(key, b"forwarded"),
                    12 => is(key, b"content-type"),
                    _ => is(key, b"x-forwarded-proto"),
                };
                assert!(same(name) && !same(&other), "{at} of {name:?}");
            }
        }
    }
}
