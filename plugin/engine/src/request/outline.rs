//! What metrics and coverage read of a request's head and of its answer's, in one pass for both: its method, its scheme, whether it is
//! a call of gRPC, and its route.
//!
//! Apart, and never inlined: where neither is on, a request pays for a test.

use super::RequestContext;
use super::asked::mark;
use super::coverage::Sorted;
use super::measure::Measured;
use crate::door::HeaderView;
use crate::metrics::is_name;
use crate::policy::Policy;
use crate::span::{KindSetting, METHODS, is_grpc};

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

/// Lengths of the names that the head is read for.
const LENGTHS: u64 = 1 << ":path".len()
    | 1 << ":method".len()
    | 1 << "forwarded".len()
    | 1 << "content-type".len()
    | 1 << "x-forwarded-proto".len();

/// The headers themselves.
#[derive(Default)]
struct Outline<'a> {
    method: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    forwarded: Option<&'a [u8]>,
    forwarded_proto: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
}

impl<'a> Outline<'a> {
    #[inline(always)] // It has one caller.
    fn of<V: HeaderView<'a>>(headers: V) -> Self {
        let mut outline = Self::default();
        headers.of_lengths(LENGTHS, |key, value| {
            let place = match key.len() {
                5 if is(key, b":path") => &mut outline.path,
                7 if is(key, b":method") => &mut outline.method,
                7 if is(key, b":scheme") => &mut outline.scheme,
                9 if is(key, b"forwarded") => &mut outline.forwarded,
                17 if is(key, b"x-forwarded-proto") => &mut outline.forwarded_proto,
                12 if is(key, b"content-type") => {
                    // A request with two different types has none, as on the span.
                    let other = outline.content_type.is_some_and(|known| known != value);
                    outline.content_type = Some(if other { b"" } else { value });
                    return;
                }
                _ => return,
            };
            place.get_or_insert(value);
        });
        outline
    }
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

/// Reads the head of a request. `counts`: it is counted.
#[inline(never)]
pub fn requested<'a, V: HeaderView<'a>>(policy: &Policy, context: &mut RequestContext, counts: bool, headers: V) {
    let Some(settings) = policy.routes() else { return };
    let covers = policy.names.is_some();
    let outline = Outline::of(headers);
    if is_grpc(outline.content_type) {
        let path = outline.path.unwrap_or_default();
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
    let path = outline.path.filter(|_| !settings.routes.templates().is_empty());
    context.route = path.and_then(|path| settings.routes.find(path)).map_or(Route::Unknown, Route::Template);
    let method = outline.method.unwrap_or_default();
    let method = METHODS.iter().position(|known| known.as_bytes() == method);
    if covers {
        context.sorted = Some(Sorted::request(method));
    }
    if counts {
        // As on the span: what a trusted proxy in front says of a SERVER's scheme, or what Envoy does.
        let trusts = !policy.edge && policy.span_kind != KindSetting::Client;
        let forwarded = (outline.forwarded.filter(|_| trusts), outline.forwarded_proto.filter(|_| trusts));
        context.measured = Some(Measured::request(method, outline.scheme, forwarded));
    }
}

/// Reads whether the answer to a gRPC call is one of gRPC, and the route that another answer names. What is no name of a series is no
/// route.
#[inline(never)]
pub fn answered<'a, V: HeaderView<'a>>(policy: &Policy, context: &mut RequestContext, headers: V) {
    if let Route::Rpc { answered } = &mut context.route {
        *answered = is_grpc(headers.first("content-type"));
        return;
    }
    let Some(name) = policy.routes().and_then(|settings| settings.route_header.as_deref()) else { return };
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
    use super::is;

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
