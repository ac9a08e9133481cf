//! What the load asks: the headers of a browser behind a mesh, and a mix of callers with and without trace context.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use http_body_util::Empty;
use hyper::body::Bytes;

use tracelift_envoy::Random;

/// Beside method, path, authority, scheme and a request id: twelve headers, about 800 bytes.
const HEADERS: [(&str, &str); 12] = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    ),
    ("accept", "application/json,text/html;q=0.9,*/*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    (
        "authorization",
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyLTQyIiwic2NvcGUiOiJjYXJ0In0.1bXq2nKzv3mYqkK4fZc2y0tqv0b3w9d5",
    ),
    ("cache-control", "no-cache"),
    ("cookie", "session=5f2b8c1e9d7a4036; theme=dark; consent=analytics%3Dfalse"),
    ("referer", "https://shop.example/cart"),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-proto", "https"),
    ("x-tenant", "gold"),
    ("x-client-version", "web-2026.11.3"),
];

/// Makes requests, the same ones in every run.
pub struct Traffic {
    headers: HeaderMap,
    version: Version,
    uri: String,
    /// Share of the callers with a context that had sampled the trace, in 1/2^32.
    sampled: u64,
    random: Random,
}

impl Traffic {
    /// `sampled`: the share, 0 to 1, of the callers with a trace context that had sampled.
    pub fn new(version: Version, sampled: f64, seed: u64) -> Self {
        let mut headers: HeaderMap =
            HEADERS.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        let mut uri = "http://cart.shop.example/cart/items?page=2".to_owned();
        if version == Version::HTTP_11 {
            headers.insert("host", HeaderValue::from_static("cart.shop.example"));
            uri = "/cart/items?page=2".to_owned();
        }
        Self { headers, version, uri, sampled: (sampled * (1_u64 << 32) as f64) as u64, random: Random(seed) }
    }

    /// The next one. Every second has `traceparent` and `tracestate`.
    pub fn request(&mut self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.version_mut() = self.version;
        *request.uri_mut() = self.uri.parse().unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        // A UUID, of which Envoy's Zipkin tracer makes its decision.
        let (high, low) = (self.random.next(), self.random.next());
        let (time, rest) = (high >> 32, high & 0xffff_0fff);
        let (middle, version) = (rest >> 16, rest & 0xfff);
        let id = format!(
            "{time:08x}-{middle:04x}-4{version:03x}-{:04x}-{:012x}",
            0x8000 | low >> 50,
            low & 0xffff_ffff_ffff
        );
        request.headers_mut().extend(HeaderValue::try_from(id).map(|id| (HeaderName::from_static("x-request-id"), id)));
        if self.random.next() & 1 == 0 {
            let flags = if self.random.next() >> 32 < self.sampled { 3 } else { 2 };
            let (high, low, span) = (self.random.next(), self.random.next(), self.random.next());
            let traceparent = format!("00-{high:016x}{low:016x}-{span:016x}-{flags:02x}");
            if let Ok(value) = HeaderValue::try_from(traceparent) {
                request.headers_mut().insert("traceparent", value);
            }
            request.headers_mut().insert("tracestate", HeaderValue::from_static("vendor=t61rcWkgMzE"));
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_callers_have_a_context_and_the_share_of_them_has_sampled() {
        let mut traffic = Traffic::new(Version::HTTP_2, 0.05, 3);
        let (mut with, mut sampled) = (0, 0);
        for _ in 0..20_000 {
            let request = traffic.request();
            assert!((12..=15).contains(&request.headers().len()));
            let id = request.headers()["x-request-id"].to_str().unwrap();
            assert!(id.len() == 36 && id.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{id}");
            if let Some(context) = request.headers().get("traceparent") {
                with += 1;
                sampled += usize::from(context.as_bytes().ends_with(b"-03"));
            }
        }
        assert!((9_500..10_500).contains(&with), "{with}");
        assert!((400..600).contains(&sampled), "{sampled}");
    }
}
