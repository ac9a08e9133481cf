//! Matching and deciding are on every request's path, so they allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tracelift::sampling::{
    Algorithm, Mode, Parent, Policy, Randomness, RequestFacts, RequestMatcher, Rule, Sampler, Steps, StringMatcher,
    Threshold, decide,
};
use tracelift::trace_context::TraceId;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks for.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `alloc` above with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl Fn()) -> usize {
    work(); // A regex makes its scratch space at its first match and keeps it.
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn policy(matcher: RequestMatcher) -> Policy {
    let sampler = Sampler::new(Algorithm::HashSeed { seed: 1 }, 0.5).unwrap();
    let rule =
        Rule { name: "rule".into(), matcher, sampler: Some(sampler), upgrade: true, latency_ms: None, metrics: true };
    Policy {
        mode: Mode::ParentBased,
        fallback: Sampler::new(Algorithm::Consistent, 0.05).unwrap(),
        pace: None,
        rules: vec![rule.clone(), rule],
    }
}

#[test]
fn a_match_allocates_nothing() {
    let headers = [(&b"x-tenant"[..], &b"gold"[..]), (b"accept", b"*/*")];
    let facts = RequestFacts { path: b"/pay/7?x=1", method: b"POST", host: b"EU.shop.example:8080", headers: &headers };
    let matcher = |path, host, header| RequestMatcher {
        path: Some(path),
        method: vec!["PUT".into(), "POST".into()],
        host: Some(host),
        headers: vec![("x-tenant".into(), header)],
    };
    let plain = matcher(
        StringMatcher::Prefix("/pay".into()),
        StringMatcher::Suffix(".SHOP.example".into()),
        StringMatcher::Contains("ol".into()),
    );
    let regexes = matcher(
        StringMatcher::regex("/pay/[0-9]+").unwrap(),
        StringMatcher::regex_ignoring_case(r"[a-z]+\.shop\.example").unwrap(),
        StringMatcher::regex("gold|silver").unwrap(),
    );
    for matcher in [plain, regexes] {
        let policy = policy(matcher);
        assert_eq!(policy.first_match(&facts, &mut Steps::default()), Some(0));
        assert_eq!(
            allocations_of(|| assert_eq!(policy.first_match(&facts, &mut Steps::default()), Some(0))),
            0,
            "{:?}",
            policy.rules[0]
        );
    }
}

#[test]
fn a_decision_allocates_nothing() {
    let policy = policy(RequestMatcher::default());
    let id = TraceId::parse(b"4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
    let parent = Parent { sampled: true, threshold: Some(Threshold::ALWAYS) };
    for (rule, parent) in [(None, None), (Some(0), None), (None, Some(&parent))] {
        let count = allocations_of(|| {
            std::hint::black_box(decide(&policy, (rule, None), parent, id, Randomness::from_trace_id(id)));
        });
        assert_eq!(count, 0, "rule {rule:?}, parent {parent:?}");
    }
}
