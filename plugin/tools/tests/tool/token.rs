//! `tracelift token`: a token that the filter takes, of a key whose secret is nowhere shown.

use crate::kit::{Ran, tracelift_with};

const SECRET: &str = "a-secret-of-the-developers";
const CONFIG: &str = r#"{"resource": {"service.namespace": "shop"}, "sampling": {"ratio": 0},
    "force": {"keys": [{"id": "dev", "secret": "a-secret-of-the-developers"}]}}"#;

fn token(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let ran = tracelift_with(&[&["token"], arguments].concat(), CONFIG, environment);
    assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "{} {}", ran.out, ran.err);
    ran
}

/// What `explain` says of a request to that path with this header.
fn explained(header: &str, path: &str) -> String {
    let ran = tracelift_with(&["explain", "--config", "-", "--path", path, "-H", header.trim()], CONFIG, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!ran.out.contains(SECRET), "{}", ran.out);
    ran.out
}

#[test]
fn a_token_is_a_whole_header_that_the_filter_takes_for_its_path() {
    let made = token(&["--config", "-", "--key", "dev", "--ttl", "15m", "--path", "/checkout"], &[]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert!(made.out.starts_with("x-tracelift-force: 1.dev."), "{}", made.out);
    let said = explained(&made.out, "/checkout/1");
    assert!(said.contains("sampled: a token forces it"), "{said}");
    assert!(said.contains("the token in `x-tracelift-force` is good"), "{said}");
    let said = explained(&made.out, "/cart");
    assert!(said.contains("dropped: `sampling.ratio` decides"), "{said}");
    assert!(said.contains("is not good: of no key here"), "{said}");
}

#[test]
fn keys_come_from_the_environment_as_well_and_the_audience_can_be_named() {
    let keys = format!("dev={SECRET}, ops=another-secret-of-theirs");
    let environment = [("TRACELIFT_FORCE_KEYS", keys.as_str())];
    let made = token(&["--key", "dev", "--audience", "shop"], &environment);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert!(explained(&made.out, "/cart").contains("is good"));
    let made = token(&["--key", "dev", "--audience", "bank"], &environment);
    assert!(explained(&made.out, "/cart").contains("is not good"));
    let choose = token(&[], &environment);
    assert!(choose.err.contains("there are 2 keys; choose one with --key: dev, ops"), "{}", choose.err);
}

#[test]
fn a_host_may_be_an_address() {
    for host in ["shop.example", "192.0.2.1", "[2001:db8::1]"] {
        let made = token(&["--config", "-", "--host", host], &[]);
        assert_eq!(made.code, Some(0), "{host}: {}", made.err);
    }
}

#[test]
fn a_secret_of_the_environment_that_is_too_short_is_said_and_not_shown() {
    let made = token(&[], &[("TRACELIFT_FORCE_KEYS", "dev=hunter2")]);
    assert_eq!(made.code, Some(2), "{}", made.out);
    let said = "environment variable TRACELIFT_FORCE_KEYS: found a secret of fewer than 16 characters";
    assert!(made.err.contains(said) && !made.err.contains("hunter2"), "{}", made.err);
}

#[test]
fn what_cannot_be_a_token_is_said() {
    for (arguments, said) in [
        (&["--config", "-", "--key", "ops"][..], "--key: found ops; allowed is dev"),
        (&["--config", "-", "--ttl", "2d"], "--ttl: found 172800 s; allowed by `force.max_ttl_s` are 86400 s"),
        (&["--config", "-", "--ttl", "soon"], "allowed is a number with s, m, h or d behind it"),
        (&["--config", "-", "--path", "checkout"], "allowed is a path that begins with `/`"),
        (&["--config", "-", "--host", "https://shop"], "allowed is a host without scheme, port and path"),
        (&["--config", "-", "--host", "shop.example:8443"], "allowed is a host without scheme, port and path"),
        (&["--config", "-", "--host", "[::1]:8443"], "allowed is a host without scheme, port and path"),
        (
            &["--config", "-", "--path", "/cart?id=1"],
            "--path: found /cart?id=1; allowed is a path without query and fragment",
        ),
        (&["--config", "-", "--path", "/cart#top"], "allowed is a path without query and fragment"),
        (&[], "no key: name a file with `force.keys` by --config"),
    ] {
        let ran = token(arguments, &[]);
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
}
