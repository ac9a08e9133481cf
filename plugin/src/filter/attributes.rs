//! Envoy's attributes of a finished stream: those that every span asks for in one hostcall, where the host evaluates
//! expressions, and else one by one.
//!
//! Envoy (and Istio's proxy) registers the foreign functions `expr_create` and `expr_evaluate` for CEL. A list comes back in
//! the encoding of a map whose values are empty. A host without them answers "not found", once.

use super::host;
use super::pairs::Pairs;

/// What is asked for together.
#[derive(Clone, Copy)]
pub enum Attribute {
    ResponseFlags,
    RequestTime,
    Protocol,
    SourceAddress,
    UpstreamAddress,
    RouteName,
    ClusterName,
    ListenerDirection,
}

const COUNT: usize = 8;

/// In the order of [`Attribute`]. What may be missing has a value all the same: one missing value would fail the whole list.
const EXPRESSION: &str = "[response.flags,request.time,request.protocol,source.address,\
    has(upstream.address)?upstream.address:'',has(xds.route_name)?xds.route_name:'',\
    has(xds.cluster_name)?xds.cluster_name:'',has(xds.listener_direction)?xds.listener_direction:0]";

impl Attribute {
    /// The paths to ask for one by one, the newer one first; older hosts know some under a shorter name.
    fn paths(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::ResponseFlags => ("response\0flags", None),
            Self::RequestTime => ("request\0time", None),
            Self::Protocol => ("request\0protocol", None),
            Self::SourceAddress => ("source\0address", None),
            Self::UpstreamAddress => ("upstream\0address", None),
            Self::RouteName => ("xds\0route_name", Some("route_name")),
            Self::ClusterName => ("xds\0cluster_name", Some("cluster_name")),
            Self::ListenerDirection => ("xds\0listener_direction", Some("listener_direction")),
        }
    }
}

/// The expression, compiled by the host for one root context.
pub struct Expression {
    token: [u8; 4],
}

impl Expression {
    /// `None` where the host has no such thing. The root context must be in effect.
    pub fn compile() -> Option<Self> {
        let token = host::call_foreign_function("expr_create", EXPRESSION.as_bytes()).ok()?;
        Some(Self { token: token.try_into().ok()? })
    }
}

/// What the host said of one stream.
pub struct Attributes {
    together: Vec<u8>,
    /// Where each value lies; none when they have to be asked for one by one.
    found: bool,
}

impl Attributes {
    /// Each is asked for when it is needed: less, for whoever needs one.
    pub fn one_by_one() -> Self {
        Self { together: Vec::new(), found: false }
    }

    /// Asks for all of them, if they can be asked for together. The stream's context must be in effect.
    pub fn read(expression: Option<&Expression>) -> Self {
        let together = expression.and_then(|it| host::call_foreign_function("expr_evaluate", &it.token).ok());
        let together = together.unwrap_or_default();
        let found = Pairs::new(&together).declared() == COUNT;
        Self { together, found }
    }

    /// Hands the value to `take`; `None` when there is none.
    fn with<T>(&self, attribute: Attribute, take: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        if self.found {
            let value = Pairs::new(&self.together).nth(attribute as usize)?.0;
            return if value.is_empty() { None } else { take(value) };
        }
        let (path, older) = attribute.paths();
        let ask = |path: &str| {
            let value = host::with_property(path.as_bytes(), |value| value.filter(|it| !it.is_empty()).and_then(&take));
            value.ok().flatten()
        };
        ask(path).or_else(|| ask(older?))
    }

    /// A text.
    pub fn text(&self, attribute: Attribute) -> Option<Vec<u8>> {
        self.with(attribute, |value| Some(value.to_vec()))
    }

    /// An integer or a time: eight bytes, little-endian.
    pub fn integer(&self, attribute: Attribute) -> Option<i64> {
        self.with(attribute, |value| value.first_chunk::<8>().map(|bytes| i64::from_le_bytes(*bytes)))
    }
}
