//! The upgrade signal and the table that listeners share.

use tracelift::force::{Claims, Fault, Key, MAX_TOKEN, Policy, Scope};
use tracelift::http::GrpcStatus;
use tracelift::trace_context::{HeaderEdit, TraceId};
use tracelift::upgrade::mac;
use tracelift::upgrade::recall::{log, wire};
use tracelift::upgrade::{Budget, Verdict, signal, slots};

use super::context::is_clean;
use crate::Input;

fn trace(input: &mut Input<'_>) -> TraceId {
    TraceId::from_u128(input.any::<u128>().max(1)).expect("not zero")
}

pub(super) fn signal(bytes: &[u8]) {
    let trace_id = trace(&mut Input::new(bytes));
    let value = bytes.get(16..).unwrap_or_default();
    if signal::read(value, trace_id).is_some() {
        let other = TraceId::from_u128(trace_id.get() ^ 1 | 2).expect("not zero");
        assert!(other == trace_id || signal::read(value, other).is_none(), "a signal is for one trace only");
    }
    let _ = signal::read_previous(value, [value].into_iter(), trace_id);
    if let HeaderEdit::Replace(kept) = signal::without_context([value].into_iter()) {
        assert!(kept.len() <= value.len() * 2);
        assert!(is_clean(&kept) || !is_clean(value), "nothing is added that ends a line");
        assert_eq!(signal::without_context([&kept[..]].into_iter()), HeaderEdit::Keep, "nothing of ours is left");
    }
    let _ = GrpcStatus::from_header(value).name();
}

/// Shared data that another VM, or another version, has written: any bytes.
pub(super) fn slots(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let trace_id = trace(&mut input);
    let (now, upgraded) = (input.any::<u32>(), input.any::<bool>());
    let verdict = if upgraded { Verdict::Upgraded } else { Verdict::Shed };
    let slot = input.rest();
    let log = log::append(slot, trace_id, || 7);
    assert!(log.len() <= log::LOG_BYTES, "{} bytes", log.len());
    assert!(log::append(&log, trace_id, || 8).len() <= log::LOG_BYTES);
    let before = slots::find(slot, trace_id, || now);
    assert!(slots::slot_of(trace_id) < slots::SLOTS);
    let remembered = slots::remember(slot, trace_id, verdict, now);
    let Some(after) = remembered.slot else {
        assert!(before.is_some() || remembered.forgot, "what is not written was known, or is counted");
        return;
    };
    assert!(after.len() <= slots::SLOT_BYTES, "{} bytes", after.len());
    if now < u32::MAX - slots::HOLD_SECONDS {
        assert_eq!(slots::find(&after, trace_id, || now), Some(verdict));
        assert_eq!(slots::find(&after, trace_id, || now + slots::HOLD_SECONDS), None, "it is forgotten in time");
    }
}

/// Tokens that somebody without a key makes, or makes of one that he has seen: none is good. One that is signed says what was signed.
pub(super) fn force(bytes: &[u8]) {
    const SECRET: &str = "a-secret-of-the-developers";
    let key = Key { id: "dev".to_owned(), secret: SECRET.to_owned() };
    let budget = Budget::per_second(1.0).expect("a rate");
    let (header, audience) = ("x-tracelift-force".to_owned(), "shop".to_owned());
    let policy = Policy { keys: vec![key], header: header.into(), max_ttl_s: 3_600, budget, audience };
    let judge = |token: &[u8]| policy.judge(token, 1_000_000_000, b"shop.example", b"/pay");
    let mut input = Input::new(bytes);
    let (host, path) = (text(input.bytes()), text(input.bytes()));
    let claims = Claims { key: "dev".to_owned(), expiry: 3_000, scope: Scope { host, path: format!("/{path}") } };
    let token = claims.sign(SECRET.as_bytes(), "shop");
    let admitted = judge(token.as_bytes());
    let is_read = token.len() <= MAX_TOKEN && claims.scope.allows(b"shop.example", b"/pay");
    assert_eq!(admitted.map(|admitted| admitted.claims), if is_read { Ok(claims) } else { Err(Fault::Invalid) });
    let rest = input.rest();
    assert_eq!(judge(rest), Err(Fault::Invalid), "nobody guesses a MAC");
    let mut changed = token.clone().into_bytes();
    for (at, byte) in rest.iter().enumerate() {
        let place = (at * 31 + usize::from(*byte)) % changed.len();
        changed[place] ^= 1 + byte % 3;
        assert!(changed == token.as_bytes() || judge(&changed).is_err());
    }
}

/// Of these bytes what may stand in the name of a host.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().filter(|byte| byte.is_ascii_graphic() && *byte != b'/').map(char::from).collect()
}

/// What the instances of a mesh ask each other: any header, any address, any token.
pub(super) fn recall(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (address, token) = (input.bytes(), input.bytes());
    assert!(!mac::same_secret(token, &[]) && !mac::same_secret(&[], token), "an empty secret opens nothing");
    assert_eq!(mac::same_secret(token, token), !token.is_empty());
    let asked = wire::statement(address, token);
    let rest = input.rest();
    assert!(!asked.is_signed([b"token", b""], rest, 0), "nobody guesses a MAC");
    if wire::is_destination(address) {
        assert!(is_clean(address));
    }
    let Ok(traces) = wire::read(rest, wire::VERSION) else { return };
    assert!((1..=wire::MAX_IDS).contains(&traces.len()), "{} traces", traces.len());
    let address = String::from_utf8_lossy(address);
    let request = wire::request(&address, "token", &traces, 0);
    let (_, header) = request.iter().find(|(name, _)| *name == wire::HEADER).expect("the traces are asked for");
    assert_eq!(wire::read(header.as_bytes(), wire::VERSION), Ok(traces), "what is written means the same");
}
