//! What a span is called: few different names, whatever clients send.

use std::borrow::Cow;

use super::grpc::Method;
use super::{HttpFacts, bounds};

/// Methods of RFC 9110, PATCH (RFC 5789) and QUERY; case-sensitive.
pub const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY"];

/// The method, if it is a known one.
pub fn known_method(method: &[u8]) -> Option<&'static str> {
    METHODS.into_iter().find(|known| known.as_bytes() == method)
}

/// The route's path template: that of request metrics. Envoy knows no templates, only names that an operator gave to routes. One that
/// begins with `/` is taken for a template: name a route `/orders/{id}` and its spans are called `GET /orders/{id}`.
pub fn template<'a>(facts: &HttpFacts<'a>) -> Option<&'a str> {
    let name = facts
        .template
        .or(facts.route_name)
        .filter(|name| name.starts_with(b"/") && name.len() <= bounds::CONFIGURED)?;
    let legal = name.iter().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(byte));
    str::from_utf8(name).ok().filter(|_| legal)
}

/// The span's name: a known gRPC method, `grpc` for another; else `{method} {template}` or `{method}`, with `HTTP` for a
/// method that is not known. Never a path.
pub fn span(method: Option<&'static str>, template: Option<&str>, rpc: Option<Method<'_>>) -> Cow<'static, str> {
    let verb = method.unwrap_or("HTTP");
    match (rpc, template) {
        (Some(Method::Known(method)), _) => Cow::Owned(method.to_owned()),
        (Some(_), _) => Cow::Borrowed("grpc"),
        (None, None) => Cow::Borrowed(verb),
        (None, Some(template)) => {
            let mut name = String::with_capacity(verb.len().saturating_add(template.len()).saturating_add(1));
            name.push_str(verb);
            name.push(' ');
            name.push_str(template);
            Cow::Owned(name)
        }
    }
}

/// The service behind a cluster, for `peer.service`: the last part of Istio's `outbound|<port>|<subset>|<host>` without the
/// Kubernetes domain, else the cluster's own name. `None` for Istio's clusters that stand for no service.
pub fn peer_service(cluster: &[u8]) -> Option<&[u8]> {
    let host = if let Some(rest) = cluster.strip_prefix(b"outbound|") {
        rest.rsplit(|&byte| byte == b'|').next()?
    } else if let Some(rest) = cluster.strip_prefix(b"outbound_.") {
        let start = rest.windows(2).rposition(|two| two == b"_.")?;
        rest.get(start..)?.get(2..)?
    } else if cluster.starts_with(b"inbound|")
        || [&b"PassthroughCluster"[..], b"BlackHoleCluster"].contains(&cluster)
        || cluster.starts_with(b"InboundPassthroughCluster")
    {
        return None;
    } else {
        return Some(cluster).filter(|cluster| !cluster.is_empty());
    };
    let in_kubernetes = host.windows(4).any(|four| four == b".svc");
    let end = if in_kubernetes { host.iter().position(|&byte| byte == b'.') } else { None };
    host.get(..end.unwrap_or(host.len())).filter(|service| !service.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exact_method_is_known() {
        for method in METHODS {
            assert_eq!(known_method(method.as_bytes()), Some(method));
        }
        for method in ["get", "GET ", "ACL", "", "G\0T"] {
            assert_eq!(known_method(method.as_bytes()), None, "{method}");
        }
    }

    #[test]
    fn a_route_is_a_template_only_if_it_is_named_like_one() {
        let long = [&b"/"[..], &[b'a'; bounds::CONFIGURED]].concat();
        for (route, expected) in [
            (&b"/orders/{id}"[..], Some("/orders/{id}")),
            (b"/", Some("/")),
            (b"orders", None),
            (b"httproute/default/cart/rule/0", None),
            (b"/a b", None),
            (b"/a?b", None),
            (b"/\xff", None),
            (b"", None),
            (&long, None),
        ] {
            let facts = HttpFacts { route_name: Some(route), ..HttpFacts::default() };
            assert_eq!(template(&facts), expected, "{route:?}");
        }
        assert_eq!(template(&HttpFacts::default()), None);
        let both = HttpFacts { template: Some(b"/orders/{id}"), route_name: Some(b"/orders"), ..HttpFacts::default() };
        assert_eq!(template(&both), Some("/orders/{id}"));
    }

    #[test]
    fn a_name_says_the_least_that_is_known() {
        for (method, template, rpc, expected) in [
            (Some("GET"), None, None, "GET"),
            (Some("GET"), Some("/orders/{id}"), None, "GET /orders/{id}"),
            (None, None, None, "HTTP"),
            (None, Some("/x"), None, "HTTP /x"),
            (Some("POST"), None, Some(Method::Known("shop.Cart/Add")), "shop.Cart/Add"),
            (Some("POST"), Some("/x"), Some(Method::Claimed("shop.Cart/Add")), "grpc"),
            (Some("POST"), None, Some(Method::Malformed), "grpc"),
        ] {
            assert_eq!(span(method, template, rpc), expected);
        }
    }

    #[test]
    fn a_cluster_names_its_service() {
        for (cluster, expected) in [
            ("cart", Some("cart")),
            ("outbound|8080||cart.default.svc.cluster.local", Some("cart")),
            ("outbound|8080|v1|cart.default.svc.cluster.local", Some("cart")),
            ("outbound_.8080_.v1_.cart.default.svc.cluster.local", Some("cart")),
            ("outbound_.8080_._.cart.default.svc.cluster.local", Some("cart")),
            ("outbound|443||api.example.com", Some("api.example.com")),
            ("outbound|443||", None),
            ("outbound|", None),
            ("outbound_.", None),
            ("inbound|8080||", None),
            ("PassthroughCluster", None),
            ("BlackHoleCluster", None),
            ("InboundPassthroughClusterIpv4", None),
            ("", None),
        ] {
            let service = peer_service(cluster.as_bytes()).map(String::from_utf8_lossy);
            assert_eq!(service.as_deref(), expected, "{cluster}");
        }
    }
}
