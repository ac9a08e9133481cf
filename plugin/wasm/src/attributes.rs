//! Attributes of a stream, as proxy-wasm names them: one by one, or in a list by one hostcall.
//!
//! The list is an expression in CEL (<https://cel.dev>), which Envoy compiles once for each root context (foreign functions
//! `expr_create`, `expr_evaluate`, `expr_delete` in its `source/extensions/common/wasm/foreign.cc`). For a host without them, and
//! for a stream without one of the attributes, the engine asks one by one.

use std::cell::RefCell;

use tracelift::door::{Attribute, Value, Wanted};
use tracelift::http::pairs::Pairs;

use super::host;

/// Names of a property, newer name first. Its parts are joined by NUL.
fn paths(attribute: Attribute) -> (&'static str, Option<&'static str>) {
    match attribute {
        Attribute::ResponseFlags => ("response\0flags", None),
        Attribute::StartTime => ("request\0time", None),
        Attribute::ListenerDirection => ("xds\0listener_direction", Some("listener_direction")),
        Attribute::ResponseCode => ("response\0code", None),
        Attribute::Protocol => ("request\0protocol", None),
        Attribute::SourceAddress => ("source\0address", None),
        Attribute::UpstreamAddress => ("upstream\0address", None),
        Attribute::RouteName => ("xds\0route_name", Some("route_name")),
        Attribute::ClusterName => ("xds\0cluster_name", Some("cluster_name")),
        Attribute::CodeDetails => ("response\0code_details", None),
        Attribute::TransportFailureReason => ("upstream\0transport_failure_reason", None),
        Attribute::UpstreamTls => ("upstream\0tls_version", None),
        Attribute::DestinationAddress => ("destination\0address", None),
        Attribute::PeerIdentity => ("connection\0uri_san_peer_certificate", None),
    }
}

/// The elements of a list, numbers first. One absent attribute would fail the whole list.
const ELEMENTS: [(Attribute, &str); 12] = [
    (Attribute::ResponseFlags, "response.flags"),
    (Attribute::StartTime, "request.time"),
    (Attribute::ListenerDirection, "xds.listener_direction"),
    (Attribute::ResponseCode, "has(response.code)?response.code:''"),
    (Attribute::Protocol, "request.protocol"),
    (Attribute::SourceAddress, "source.address"),
    (Attribute::UpstreamAddress, "has(upstream.address)?upstream.address:''"),
    (Attribute::RouteName, "xds.route_name"),
    (Attribute::ClusterName, "has(xds.cluster_name)?xds.cluster_name:''"),
    (Attribute::CodeDetails, "has(response.code_details)?response.code_details:''"),
    (Attribute::TransportFailureReason, "has(upstream.transport_failure_reason)?upstream.transport_failure_reason:''"),
    (Attribute::UpstreamTls, "has(upstream.tls_version)?upstream.tls_version:''"),
];

fn elements(wanted: Wanted) -> impl Iterator<Item = &'static (Attribute, &'static str)> {
    ELEMENTS.iter().filter(move |(attribute, _)| wanted.contains(*attribute))
}

type Token = [u8; 4];

/// A list that the host has compiled for a root context, which alone knows its token.
struct List {
    root: u32,
    wanted: Wanted,
    token: Token,
}

thread_local! {
    static LISTS: RefCell<Vec<List>> = const { RefCell::new(Vec::new()) };
}

/// Lets the host compile the lists for the root context in effect, unless it has them.
pub fn prepare(root: u32, wanted: &[Wanted]) {
    LISTS.with(|lists| {
        let Ok(mut lists) = lists.try_borrow_mut() else { return };
        lists.retain(|list| {
            let stays = list.root != root || wanted.contains(&list.wanted);
            if !stays {
                host::with_foreign("expr_delete", &list.token, |_| ()); // Only the host's memory is at stake.
            }
            stays
        });
        for &wanted in wanted {
            if lists.iter().any(|list| list.root == root && list.wanted == wanted) {
                continue;
            }
            if let Some(token) = create(wanted) {
                lists.push(List { root, wanted, token });
            }
        }
    });
}

fn create(wanted: Wanted) -> Option<Token> {
    let mut list = String::with_capacity(512);
    for (_, expression) in elements(wanted) {
        list.push(if list.is_empty() { '[' } else { ',' });
        list.push_str(expression);
    }
    list.push(']');
    let token = |answer: Option<&[u8]>| answer?.first_chunk::<4>().copied();
    host::with_foreign("expr_create", list.as_bytes(), token)
}

/// Shows `take` the attributes of a prepared list; `false` when there is no list, or no answer to it.
pub fn together(root: u32, wanted: Wanted, mut take: impl FnMut(Attribute, Value<'_>)) -> bool {
    let token = LISTS.with(|lists| {
        let lists = lists.try_borrow().ok()?;
        lists.iter().find(|list| list.root == root && list.wanted == wanted).map(|list| list.token)
    });
    let Some(token) = token else { return false };
    let answer = |answer: Option<&[u8]>| answered(wanted, answer?, &mut take);
    host::with_foreign("expr_evaluate", &token, answer).is_some()
}

/// The answer to a list: its elements are the keys of a map without values. `None` if it is anything else.
fn answered(wanted: Wanted, answer: &[u8], take: &mut impl FnMut(Attribute, Value<'_>)) -> Option<()> {
    let mut pairs = Pairs::new(answer);
    for (attribute, _) in elements(wanted) {
        let (value, nothing) = pairs.next()?;
        if !nothing.is_empty() {
            return None;
        }
        let value = if attribute.is_number() { Value::Number(integer(value)?) } else { Value::Text(value) };
        take(*attribute, value);
    }
    pairs.next().is_none().then_some(())
}

/// An attribute that is a number.
pub fn number(attribute: Attribute) -> Option<i64> {
    let (path, older) = paths(attribute);
    let read = |path: &str| host::with_property(path, |value| integer(value?));
    read(path).or_else(|| read(older?))
}

/// Lets `read` look at an attribute that is a text; empty where there is none.
pub fn text<T>(attribute: Attribute, read: impl FnOnce(&[u8]) -> T) -> T {
    let (path, older) = paths(attribute);
    host::with_property(path, |value| match (value.unwrap_or_default(), older) {
        ([], Some(older)) => host::with_property(older, |value| read(value.unwrap_or_default())),
        (value, _) => read(value),
    })
}

/// Integers and times are eight bytes, little-endian.
fn integer(value: &[u8]) -> Option<i64> {
    value.first_chunk::<8>().map(|bytes| i64::from_le_bytes(*bytes))
}
