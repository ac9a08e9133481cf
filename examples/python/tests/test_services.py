"""The two services under ``opentelemetry-instrument``, as a user runs them, between a sidecar and a collector."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import requests
from fakes import Collector, FakeSidecar, wait_until
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from running import Service, command, environment, root, trigger, triggers


@pytest.fixture(scope="module")
def far() -> Iterator[tuple[FakeSidecar, Collector]]:
    sidecar, collector = FakeSidecar(token="the-token-of-the-pod"), Collector()  # noqa: S106 - of a test
    yield sidecar, collector
    sidecar.close()
    collector.close()


@pytest.fixture(scope="module", params=["flask_service.py", "fastapi_service.py"])
def running(request: pytest.FixtureRequest, far: tuple[FakeSidecar, Collector]) -> Iterator[Service]:
    sidecar, collector = far
    port = free_port()
    settings = environment(sidecar, collector, PORT=str(port), OTEL_SERVICE_NAME="reviews")
    with subprocess.Popen(command(request.param), env=settings) as process:
        try:
            service = Service(f"http://127.0.0.1:{port}", sidecar, collector)
            wait_until(lambda: is_up(service.origin), f"{request.param} answers")
            yield service
        finally:
            process.terminate()


@pytest.fixture
def service(running: Service) -> Iterator[Service]:
    yield running
    running.sidecar.peers = lambda _traceparent: (200, None)


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_up(origin: str) -> bool:
    try:
        return requests.get(f"{origin}/healthz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def test_a_dropped_request_that_goes_well_exports_nothing_and_calls_with_flag_0(service: Service) -> None:
    well, answer = service.request("/reviews/7")
    assert answer.json() == {"item": 7, "rating": 4}
    assert "x-tracelift-signal" not in answer.headers
    assert service.sidecar.calls["/ratings/7"].startswith(f"00-{well:032x}-")
    assert service.sidecar.calls["/ratings/7"].endswith("-00")
    broken, _ = service.request("/reviews/8", fault="error")
    service.spans(broken, "load reviews")
    assert service.collector.of(well) == []


def test_a_request_that_fails_here_exports_the_whole_trace(service: Service) -> None:
    trace_id, answer = service.request("/reviews/9", fault="error")
    assert answer.status_code == 500
    spans = service.spans(trace_id, "load reviews", "read cache")
    assert root(spans).kind == Span.SPAN_KIND_SERVER
    assert triggers(spans) == {"error"}


def test_a_swallowed_exception_is_told_to_the_sidecar_and_later_calls_leave_sampled(service: Service) -> None:
    trace_id, answer = service.request("/reviews/10", fault="swallowed")
    assert answer.status_code == 200
    assert answer.headers["x-tracelift-signal"] == f"2;upgraded;{trace_id:032x}"
    spans = service.spans(trace_id, "load reviews", "read cache", "rank reviews", "GET")
    assert service.sidecar.calls["/ratings/10"] == f"00-{trace_id:032x}-{spans['GET'].span_id.hex()}-01"
    assert root(spans).kind == Span.SPAN_KIND_SERVER


def test_a_failure_of_a_callee_is_read_from_its_answer_and_not_told_back(service: Service) -> None:
    service.sidecar.peers = lambda traceparent: (200, f"2;upgraded;{traceparent[3:35]}")
    trace_id, answer = service.request("/reviews/11")
    assert answer.status_code == 200
    assert "x-tracelift-signal" not in answer.headers
    spans = service.spans(trace_id, "load reviews", "read cache", "rank reviews", "GET")
    assert triggers(spans) == {"signal"}
    assert service.sidecar.calls["/ratings/11"] == f"00-{trace_id:032x}-{spans['GET'].span_id.hex()}-00"


def test_what_any_sdk_may_answer_is_not_read_as_an_upgrade(service: Service) -> None:
    service.sidecar.peers = lambda traceparent: (200, f"2;upgraded;{'1' * 32}, {traceparent}")
    trace_id, _ = service.request("/reviews/12")
    broken, _ = service.request("/reviews/12", fault="error")
    service.spans(broken, "load reviews")
    assert service.collector.of(trace_id) == []


def test_an_external_call_that_fails_is_a_failure_of_the_application(service: Service) -> None:
    service.sidecar.peers = lambda _traceparent: (503, None)
    trace_id, answer = service.request("/translations/13")
    assert answer.status_code == 502
    spans = service.spans(trace_id, "GET")
    assert spans["GET"].kind == Span.SPAN_KIND_CLIENT


def test_a_callee_that_sheds_is_followed(service: Service) -> None:
    service.sidecar.peers = lambda traceparent: (503, f"2;shed;{traceparent[3:35]}")
    trace_id, answer = service.request("/translations/14")
    assert answer.status_code == 502
    assert "x-tracelift-signal" not in answer.headers
    broken, _ = service.request("/reviews/14", fault="error")
    service.spans(broken, "load reviews")
    assert service.collector.of(trace_id) == []


def test_a_failure_elsewhere_brings_all_spans_out_with_those_of_a_background_thread(service: Service) -> None:
    trace_id, answer = service.request("/reviews/15", method="POST")
    assert answer.status_code == 202
    service.sidecar.upgrade(trace_id)
    spans = service.spans(trace_id, "index review")
    assert root(spans).kind == Span.SPAN_KIND_SERVER
    assert trigger(spans["index review"]) == "sidecar"


def test_a_sampled_request_is_exported_once_and_without_a_trigger(service: Service) -> None:
    trace_id, answer = service.request("/reviews/16", sampled=True, fault="swallowed")
    assert "x-tracelift-signal" not in answer.headers
    spans = service.spans(trace_id, "load reviews", "read cache", "rank reviews", "GET")
    assert triggers(spans) == set()
    assert service.sidecar.calls["/ratings/16"].endswith("-01")


def test_the_requests_to_the_sidecar_make_no_spans(service: Service) -> None:
    before = len(service.sidecar.statuses)
    wait_until(lambda: len(service.sidecar.statuses) >= before + 2, "two more polls")
    assert set(service.sidecar.statuses) == {200}
    urls = [item.value.string_value for span in service.collector.all() for item in span.attributes]
    assert not any("well-known" in url for url in urls)
