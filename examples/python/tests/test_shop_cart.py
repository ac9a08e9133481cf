"""The shop's cart under ``opentelemetry-instrument``, as the demo runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import requests
from fakes import Collector, FakeSidecar
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from running import CALLER, Service, command, environment, root, triggers

#: The application's own spans of a request, in the order of the tree.
WHOLE = ("GET /carts/<int:visit>", "price cart", "read prices", "GET")
SAYS = "listening on "
#: OpenTelemetry logs a configurator that was not chosen.
ALREADY = "tracelift already loaded"


class Cart(Service):
    """Takes the demo's header for faults."""

    def ask(self, visit: int, fault: str = "", sampled: bool = False) -> tuple[int, requests.Response]:
        return self.request(f"/carts/{visit}", fault=fault, sampled=sampled, fault_header="x-shop-fault")

    def whole(self, trace_id: int) -> dict[str, Span]:
        """All spans of a trace, each once: a tree below the caller."""
        spans = self.spans(trace_id, *WHOLE)
        assert len(self.collector.of(trace_id)) == len(WHOLE)
        return spans


@pytest.fixture(scope="module")
def running() -> Iterator[Cart]:
    sidecar, collector = FakeSidecar(token="the-token-of-the-pod"), Collector()  # noqa: S106 - of a test
    settings = environment(sidecar, collector, OTEL_SERVICE_NAME="cart")
    arguments = command("shop_cart.py")
    with subprocess.Popen(
        arguments, env=settings, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline().strip()
        assert line.startswith(SAYS), line
        yield Cart(line.removeprefix(SAYS), sidecar, collector)
        process.stdin.close()
        assert process.wait(timeout=30) == 0, "it ends when its standard input does"
        complaints = process.stderr.read().splitlines()
        assert [line for line in complaints if ALREADY not in line] == []
    sidecar.close()
    collector.close()


@pytest.fixture
def service(running: Cart) -> Iterator[Cart]:
    yield running
    running.sidecar.peers = lambda _traceparent: (200, None)


def test_a_dropped_request_that_goes_well_exports_nothing_and_calls_with_flag_0(service: Cart) -> None:
    well, answer = service.ask(1)
    assert (answer.status_code, answer.text) == (200, "")
    assert "x-tracelift-signal" not in answer.headers
    assert service.sidecar.calls["/items/1"].startswith(f"00-{well:032x}-")
    assert service.sidecar.calls["/items/1"].endswith("-00")
    stale, _ = service.ask(2, "stale")
    service.whole(stale)
    assert service.collector.of(well) == []


def test_a_sampled_request_is_exported_once_with_its_call_below_the_inner_spans(service: Cart) -> None:
    trace_id, _ = service.ask(3, sampled=True)
    spans = service.whole(trace_id)
    called = service.sidecar.calls["/items/3"]
    assert called == f"00-{trace_id:032x}-{spans['GET'].span_id.hex()}-01"
    assert spans["GET"].parent_span_id == spans["read prices"].parent_span_id == spans["price cart"].span_id
    assert spans["price cart"].parent_span_id == root(spans).span_id
    assert triggers(spans) == set()


def test_an_exception_that_is_caught_is_told_to_the_sidecar_and_the_call_after_it_leaves_sampled(service: Cart) -> None:
    trace_id, answer = service.ask(4, "stale")
    assert answer.status_code == 200
    assert answer.headers["x-tracelift-signal"] == f"2;upgraded;{trace_id:032x}"
    spans = service.whole(trace_id)
    assert triggers(spans) == {"error"}
    assert service.sidecar.calls["/items/4"].endswith("-01")
    assert [event.name for event in spans["read prices"].events] == ["exception"]


@pytest.mark.parametrize(("fault", "status"), [("", 502), ("swallowed", 200)])
def test_a_failure_of_the_catalog_brings_the_spans_out_whether_or_not_it_is_swallowed(
    service: Cart, fault: str, status: int
) -> None:
    service.sidecar.peers = lambda _traceparent: (500, None)
    trace_id, answer = service.ask(5, fault)
    assert answer.status_code == status
    assert answer.headers["x-tracelift-signal"] == f"2;upgraded;{trace_id:032x}"
    assert triggers(service.whole(trace_id)) == {"error"}


def test_a_failure_elsewhere_brings_the_spans_out_when_the_sidecar_lists_it(service: Cart) -> None:
    trace_id, _ = service.ask(6)
    service.sidecar.upgrade(trace_id)
    assert triggers(service.whole(trace_id)) == {"sidecar"}


def test_an_answer_that_is_no_failure_is_passed_on(service: Cart) -> None:
    service.sidecar.peers = lambda _traceparent: (404, None)
    _, answer = service.ask(7)
    assert answer.status_code == 404


def test_what_others_wrote_is_passed_on_and_the_context_is_the_sdks(service: Cart) -> None:
    trace_id = 0x0AF7651916CD43DD8448EB211C80319C
    headers = {
        "traceparent": f"00-{trace_id:032x}-{CALLER:016x}-01",
        "tracestate": "ot=th:fd70a4,vendor=visit-8",
        "x-amzn-trace-id": "Root=1-67891233-000000000000000000000008;Lineage=1:a87bd80c:0",
        "x-request-id": "one",
    }
    assert requests.get(f"{service.origin}/carts/8", headers=headers, timeout=20).status_code == 200
    sent = next(sent for sent in service.sidecar.requests if sent.get("x-request-id") == "one")
    assert {name: sent[name] for name in headers if name != "traceparent"} == {
        name: value for name, value in headers.items() if name != "traceparent"
    }
    assert sent["traceparent"].startswith(f"00-{trace_id:032x}-")
    assert f"{CALLER:016x}" not in sent["traceparent"]


def test_a_sidecar_that_is_gone_is_an_answer_of_502() -> None:
    sidecar, collector = FakeSidecar(token="t"), Collector()  # noqa: S106 - of a test
    sidecar.close()
    settings = environment(sidecar, collector, OTEL_SERVICE_NAME="cart") | {"TRACELIFT_SIDECAR": ""}
    arguments = command("shop_cart.py")
    with subprocess.Popen(arguments, env=settings, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        origin = process.stdout.readline().strip().removeprefix(SAYS)
        cart = Cart(origin, sidecar, collector)
        trace_id, answer = cart.ask(9)
        assert answer.status_code == 502
        process.stdin.close()
        process.wait(timeout=30)
    assert {span.name for span in collector.of(trace_id)} == set(WHOLE), "exported at the end of the process"
    collector.close()
