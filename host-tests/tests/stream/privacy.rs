//! What never leaves: queries, headers, credentials; and the bounds of what does.

use serde_json::{Value, json};
use tracelift_host::Response;
use tracelift_host::otlp::Value as Attribute;

use crate::kit::{Story, get, keep_all, plain};

fn with_attributes(attributes: Value) -> Value {
    json!({"sampling": {"ratio": 1}, "attributes": attributes})
}

#[test]
fn by_default_no_query_and_no_header_is_recorded() {
    let mut story = Story::new(keep_all());
    for listener in ["inbound", "outbound"] {
        let mut headers = get([("authorization", "Bearer s3cret"), ("cookie", "s3cret"), ("x-user", "s3cret")]);
        headers.replace(":path", "/items?token=s3cret#s3cret");
        headers.replace(":authority", "user:s3cret@cart.example");
        let response = Response::status(200).header("set-cookie", "s3cret").header("x-answer", "s3cret");
        story.request(listener, headers).respond(&mut story, response);
        let span = story.span();
        let shown = format!("{span:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(span.attribute_keys().iter().all(|key| !key.contains(".header.")), "{shown}");
        let url = if listener == "inbound" {
            ("url.path", "/items")
        } else {
            ("url.full", "http://REDACTED:REDACTED@cart.example/items")
        };
        assert_eq!(span.attribute(url.0), url.1);
    }
}

#[test]
fn listed_headers_are_recorded_as_lists_and_credentials_in_them_are_not() {
    let mut story = Story::new(with_attributes(json!({
        "request_headers": ["X-User", "authorization", "cookie", "x-absent", "referer"],
        "response_headers": ["x-cache", "set-cookie", "location"],
    })));
    let headers = get([
        ("x-user", "ann"),
        ("x-user", "bob"),
        ("x-other", "no"),
        ("authorization", "Bearer s3cret"),
        ("cookie", "id=s3cret"),
        ("referer", "https://u:s3cret@a.example/?sig=s3cret&b=c"),
    ]);
    let response = Response::status(302)
        .header("x-cache", "hit")
        .header("x-quiet", "no")
        .header("set-cookie", "id=s3cret")
        .header("location", "https://b.example/x?X-Amz-Signature=s3cret");
    story.request("inbound", headers).respond(&mut story, response);
    let span = story.span();
    let list = |values: &[&str]| Attribute::List(values.iter().map(|v| Attribute::Text((*v).to_owned())).collect());
    for (key, value) in [
        ("http.request.header.x-user", list(&["ann", "bob"])),
        ("http.request.header.authorization", list(&["REDACTED"])),
        ("http.request.header.cookie", list(&["REDACTED"])),
        ("http.request.header.x-absent", Attribute::Absent),
        ("http.request.header.x-other", Attribute::Absent),
        ("http.request.header.referer", list(&["https://REDACTED:REDACTED@a.example/?sig=REDACTED&b=c"])),
        ("http.response.header.x-cache", list(&["hit"])),
        ("http.response.header.set-cookie", list(&["REDACTED"])),
        ("http.response.header.location", list(&["https://b.example/x?X-Amz-Signature=REDACTED"])),
        ("http.response.header.x-quiet", Attribute::Absent),
    ] {
        assert_eq!(span.attribute(key), value, "{key}");
    }
    assert!(!format!("{span:?}").contains("s3cret"));
}

#[test]
fn a_query_is_recorded_on_request_and_its_signatures_are_not() {
    let mut story = Story::new(with_attributes(json!({"query": true})));
    for (path, query) in [
        ("/a?b=c&d=%20", Some("b=c&d=%20")),
        ("/a", None),
        ("/a?", None),
        (
            "/a?X-Amz-Signature=s3cret&X-Amz-Credential=s3cret&x=1",
            Some("X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED&x=1"),
        ),
        ("/a?AWSAccessKeyId=s3cret&Signature=s3cret", Some("AWSAccessKeyId=REDACTED&Signature=REDACTED")),
        ("/a?sig=s3cret&X-Goog-Signature=s3cret", Some("sig=REDACTED&X-Goog-Signature=REDACTED")),
        ("/a?X-Amz-Security-Token=s3cret", Some("X-Amz-Security-Token=REDACTED")),
        ("/a?%73ig=s3cret", Some("%73ig=REDACTED")),
        ("/a?to=https://u:s3cret@b.example/", Some("to=https://REDACTED:REDACTED@b.example/")),
    ] {
        for (listener, key) in [("inbound", "url.query"), ("outbound", "url.full")] {
            story.hop(listener, plain("GET", path));
            let span = story.span();
            assert!(!format!("{span:?}").contains("s3cret"), "{path}: {span:?}");
            match (listener, query) {
                ("inbound", None) => assert!(!span.attribute(key).is_present(), "{path}"),
                ("inbound", Some(query)) => assert_eq!(span.attribute(key), query, "{path}"),
                (_, query) => {
                    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
                    assert_eq!(span.attribute(key), &format!("http://cart.example/a{query}")[..], "{path}");
                }
            }
        }
    }
}

#[test]
fn every_attribute_is_bounded_whatever_a_client_sends() {
    let mut story = Story::new(with_attributes(json!({"query": true, "request_headers": ["x-big", "x-many"]})));
    let big = "b".repeat(60_000);
    let many = (0..200).map(|_| ("x-many", big.clone()));
    let headers = [("x-big", big.clone()), ("user-agent", big.clone())].into_iter().chain(many);
    let mut headers = get(headers);
    headers.replace(":path", format!("/{big}?{big}"));
    headers.replace(":method", &big);
    headers.replace(":authority", &big);
    for listener in ["inbound", "outbound"] {
        story.request(listener, headers.clone()).respond(&mut story, 500);
        let span = story.span();
        let size = format!("{:?}", span.span).len();
        assert!(size < 32_000, "{listener}: {size}");
        assert_eq!(span.name(), "HTTP");
    }
}
