//! What a recall brings back: every hop of a failed request, also those that had ended well.

use serde_json::json;
use std::time::Duration;
use tracelift_host::{LocalReply, Response, testing};

use crate::mesh::{Mesh, assert_one_tree, recalling, service, told, unsampled};

const SOON: Duration = Duration::from_secs(1);

#[test]
fn a_sibling_that_had_answered_well_is_kept_on_both_sides() {
    let mut mesh = Mesh::of(["web", "cart", "payment"], &recalling());
    let answered = mesh.serve("web", &unsampled(), &mut |mesh, context| {
        assert_eq!(mesh.simple_call("web", "cart", context, 200), 200);
        assert_eq!(mesh.simple_call("web", "payment", context, 500), 500);
        200
    });
    assert_eq!(answered.status, Some(200));
    let spans = mesh.spans();
    let kept = [
        "cart server recall",
        "payment server http_status",
        "web client http_status",
        "web client recall",
        "web server signal",
    ];
    assert_eq!(told(&spans), kept);
    assert_one_tree(&spans);
    for span in spans.iter().filter(|span| service(span) == "cart") {
        assert_eq!(span.attribute("sampling.priority"), 1);
        assert_eq!(span.span.trace_state, "", "nobody knows how probable it was");
    }
    assert_eq!(mesh.asked, [("cart".to_owned(), 1)], "payment had told by itself");
    assert_eq!(mesh.counter("upgrades.recall"), 2);
}

#[test]
fn the_recall_goes_down_the_tree() {
    let mut mesh = Mesh::of(["web", "cart", "stock", "disk", "payment"], &recalling());
    mesh.serve("web", &unsampled(), &mut |mesh, context| {
        mesh.call("web", "cart", context, &mut |mesh, context| {
            for _ in 0..2 {
                mesh.call("cart", "stock", context, &mut |mesh, context| {
                    mesh.simple_call("stock", "disk", context, 200)
                });
            }
            200
        });
        mesh.simple_call("web", "payment", context, 503)
    });
    let spans = mesh.spans();
    // web, web->cart, cart, 2 x (cart->stock, stock, stock->disk, disk), web->payment, payment.
    assert_eq!(spans.len(), 13, "{:?}", told(&spans));
    assert_one_tree(&spans);
}

#[test]
fn siblings_of_every_ancestor_are_kept() {
    let mut mesh = Mesh::of(["gateway", "web", "ads", "cart", "stock"], &recalling());
    mesh.serve("gateway", &unsampled(), &mut |mesh, context| {
        mesh.simple_call("gateway", "ads", context, 200);
        mesh.call("gateway", "web", context, &mut |mesh, context| {
            mesh.simple_call("web", "cart", context, 200);
            mesh.simple_call("web", "stock", context, 500);
            200
        });
        200
    });
    let spans = mesh.spans();
    assert_eq!(spans.len(), 9, "{:?}", told(&spans));
    assert_one_tree(&spans);
}

#[test]
fn calls_in_a_circle_end() {
    let mut mesh = Mesh::of(["a", "b"], &recalling());
    mesh.serve("a", &unsampled(), &mut |mesh, context| {
        mesh.call("a", "b", context, &mut |mesh, context| {
            mesh.call("b", "a", context, &mut |mesh, context| {
                mesh.simple_call("a", "b", context, 200);
                200
            });
            200
        });
        500
    });
    let spans = mesh.spans();
    assert_eq!(spans.len(), 7, "{:?}", told(&spans));
    assert_one_tree(&spans);
    assert!(mesh.asked.len() <= 4, "each pod asks the other, from each of two workers at most: {:?}", mesh.asked);
}

#[test]
fn what_is_still_going_on_when_the_recall_comes_is_kept_when_it_ends() {
    let mut mesh = Mesh::of(["web", "cart", "payment"], &recalling());
    let web = mesh.called("web", &unsampled());
    let context = web.forwarded_headers(mesh.envoy("web"));
    let slow = mesh.calls("web", "cart", &context);
    let sent = slow.forwarded_headers(mesh.envoy("web"));
    let cart = mesh.called("cart", &sent);
    mesh.simple_call("web", "payment", &context, 500);
    mesh.run(SOON);
    // The application did not wait for the slow one, and web's client has its answer.
    web.respond(mesh.envoy("web"), 200);
    let answer = cart.respond(mesh.envoy("cart"), 200);
    assert_eq!(answer.response_headers.get("traceresponse"), None, "cart has heard of nothing yet");
    slow.respond(mesh.envoy("web"), 200);
    let spans = mesh.spans();
    assert_eq!(spans.len(), 5, "{:?}", told(&spans));
    assert_one_tree(&spans);
}

#[test]
fn an_instance_whose_answer_came_too_late_is_asked_if_it_has_shown_the_filter_before() {
    for seen in [true, false] {
        let mut mesh = Mesh::of(["web", "cart"], &recalling());
        // Two workers, and each remembers whom it has seen.
        for number in (1..=4).filter(|_| seen) {
            let earlier = testing::unsampled(&format!("{number:032x}"));
            mesh.simple_call("web", "cart", &earlier, 200);
            mesh.called("cart", &earlier).respond(mesh.envoy("cart"), 200);
        }
        let web = mesh.called("web", &unsampled());
        let context = web.forwarded_headers(mesh.envoy("web"));
        let outbound = mesh.calls("web", "cart", &context);
        let sent = outbound.forwarded_headers(mesh.envoy("web"));
        let cart = mesh.called("cart", &sent);
        outbound.local_reply(mesh.envoy("web"), LocalReply::timeout());
        web.respond(mesh.envoy("web"), 504);
        mesh.run(SOON);
        cart.respond(mesh.envoy("cart"), Response::status(200).body("late"));
        let spans = mesh.spans();
        let all = ["cart server signal", "web client response_flags", "web server http_status"];
        assert_eq!(told(&spans), if seen { &all[..] } else { &all[1..] });
        assert_eq!(mesh.counter("recall.withheld"), u64::from(!seen));
        assert_one_tree(&spans);
    }
}

#[test]
fn nothing_that_stayed_well_is_kept() {
    let mut mesh = Mesh::of(["web", "cart"], &recalling());
    for _ in 0..20 {
        mesh.serve("web", &unsampled(), &mut |mesh, context| mesh.simple_call("web", "cart", context, 200));
    }
    mesh.run(SOON);
    assert_eq!(mesh.envoy("web").gauge("tracelift.recall.spans"), 40, "both sides");
    assert_eq!(mesh.spans().len(), 0);
    assert_eq!((mesh.counter("recall.held"), mesh.counter("recall.expired")), (60, 60));
    assert!(mesh.asked.is_empty());
}

#[test]
fn a_rule_without_upgrades_holds_nothing() {
    let mut configuration = recalling();
    configuration["sampling"]["rules"] = json!([{"match": {"path": {"exact": "/items"}}, "upgrade": false}]);
    let mut mesh = Mesh::of(["web", "cart"], &configuration);
    mesh.serve("web", &unsampled(), &mut |mesh, context| mesh.simple_call("web", "cart", context, 200));
    assert_eq!(mesh.spans().len(), 0);
    assert_eq!(mesh.counter("recall.held"), 0);
}

#[test]
fn what_the_budget_shed_is_kept_when_its_trace_is_kept_for_another_reason() {
    // One failure a second: cart has used it up when the story begins.
    let mut poor = recalling();
    poor["upgrade"]["traces_per_second"] = 1.into();
    let mut mesh = Mesh::new([("web", recalling()), ("cart", poor), ("payment", recalling())]);
    mesh.serve("cart", &testing::unsampled("00000000000000000000000000000007"), &mut |_, _| 500);
    mesh.serve("web", &unsampled(), &mut |mesh, context| {
        mesh.simple_call("web", "cart", context, 500);
        mesh.simple_call("web", "payment", context, 500);
        200
    });
    let spans = mesh.spans();
    assert_eq!(mesh.counter("upgrades.shed"), 2, "at cart, and web's side of that call");
    assert_eq!(told(&spans).iter().filter(|told| told.ends_with("recall")).count(), 2, "{:?}", told(&spans));
    assert_eq!(spans.len(), 5);
    assert_one_tree(&spans);
}
