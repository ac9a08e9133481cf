//! Attributes of a stream, each by a getter of its own.

use tracelift::door::{Attribute, Value, Wanted};

use super::abi::{self, AttributeId, EnvoyBuffer, EnvoyFilter, Timing};

/// What the engine may ask for together, numbers first.
const ALL: [Attribute; 11] = [
    Attribute::ResponseFlags,
    Attribute::StartTime,
    Attribute::ListenerDirection,
    Attribute::Protocol,
    Attribute::SourceAddress,
    Attribute::UpstreamAddress,
    Attribute::RouteName,
    Attribute::ClusterName,
    Attribute::CodeDetails,
    Attribute::TransportFailureReason,
    Attribute::UpstreamTls,
];

/// Envoy's number; the start is not among its attributes.
fn id(attribute: Attribute) -> Option<AttributeId> {
    Some(match attribute {
        Attribute::StartTime => return None,
        Attribute::ResponseFlags => AttributeId::ResponseFlags,
        Attribute::ListenerDirection => AttributeId::XdsListenerDirection,
        Attribute::ResponseCode => AttributeId::ResponseCode,
        Attribute::Protocol => AttributeId::RequestProtocol,
        Attribute::SourceAddress => AttributeId::SourceAddress,
        Attribute::UpstreamAddress => AttributeId::UpstreamAddress,
        Attribute::RouteName => AttributeId::XdsRouteName,
        Attribute::ClusterName => AttributeId::XdsClusterName,
        Attribute::CodeDetails => AttributeId::ResponseCodeDetails,
        Attribute::TransportFailureReason => AttributeId::UpstreamTransportFailureReason,
        Attribute::UpstreamTls => AttributeId::UpstreamTlsVersion,
        Attribute::DestinationAddress => AttributeId::DestinationAddress,
        Attribute::PeerIdentity => AttributeId::ConnectionUriSanPeerCertificate,
    })
}

fn is_number(attribute: Attribute) -> bool {
    matches!(
        attribute,
        Attribute::ResponseFlags | Attribute::StartTime | Attribute::ListenerDirection | Attribute::ResponseCode
    )
}

/// Unix nanoseconds of a stream's first byte, where Envoy says it.
fn started(filter: EnvoyFilter) -> Option<i64> {
    let read = abi::newer().timing?;
    let mut timing = Timing::default();
    // SAFETY: the stream lives while its hook runs; there is room for more than Envoy writes.
    let known = unsafe { read(filter, &mut timing) };
    Some(timing.started).filter(|started| known && 0 < *started)
}

/// An attribute that is a number.
pub fn number(filter: EnvoyFilter, attribute: Attribute) -> Option<i64> {
    if attribute == Attribute::StartTime {
        return started(filter);
    }
    let mut value = 0;
    let id = id(attribute)?;
    // SAFETY: the stream lives while its hook runs; Envoy writes one number.
    let known = unsafe { abi::envoy_dynamic_module_callback_http_filter_get_attribute_int(filter, id, &mut value) };
    if known { i64::try_from(value).ok() } else { None }
}

/// Lets `read` look at an attribute that is a text; empty where there is none.
pub fn text<T>(filter: EnvoyFilter, attribute: Attribute, read: impl FnOnce(&[u8]) -> T) -> T {
    let mut value = EnvoyBuffer::EMPTY;
    let known = id(attribute).is_some_and(|id| {
        // SAFETY: the stream lives while its hook runs; Envoy writes one pointer and one size.
        unsafe { abi::envoy_dynamic_module_callback_http_filter_get_attribute_string(filter, id, &mut value) }
    });
    // SAFETY: the text stays until the hook returns, and nothing is changed while `read` looks.
    read(if known { unsafe { value.bytes() } } else { &[] })
}

/// Shows `take` those that are wanted, numbers (as `number` reads them) before texts.
pub fn together(
    wanted: Wanted,
    number: impl Fn(Attribute) -> Option<i64>,
    filter: EnvoyFilter,
    take: &mut impl FnMut(Attribute, Value<'_>),
) {
    for attribute in ALL.into_iter().filter(|attribute| wanted.contains(*attribute)) {
        if !is_number(attribute) {
            text(filter, attribute, |text| take(attribute, Value::Text(text)));
        } else if let Some(number) = number(attribute) {
            take(attribute, Value::Number(number));
        }
    }
}
