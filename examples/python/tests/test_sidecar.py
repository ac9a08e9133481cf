"""The list of upgrades, asked from a sidecar on a real socket."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fakes import Application, FakeSidecar, answer, caller, wait_until

from tracelift_otel import Settings, sidecar

TRACE = 0x0AF7651916CD43DD8448EB211C80319C


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar, "PERIOD_SECONDS", 0.02)


@contextmanager
def beside(origin: str, token: str = "the-token-of-the-pod") -> Iterator[Application]:  # noqa: S107 - of a test
    application = Application(Settings(sidecar=origin, token=token))
    try:
        yield application
    finally:
        application.provider.shutdown()


def polls(application: Application, outcome: str) -> int:
    return application.holding.counts()[f"polls.{outcome}"]


def test_a_trace_that_failed_elsewhere_is_released(sidecar: FakeSidecar) -> None:
    with beside(sidecar.origin) as application:
        with application.tracer.start_as_current_span("GET /", caller(TRACE)):
            pass
        with application.tracer.start_as_current_span("GET /other", caller(TRACE + 1)):
            pass
        sidecar.upgrade(TRACE)
        wait_until(application.exported, "the trace is released")
        assert application.exported() == ["GET /"]
        assert (application.spans()[0].attributes or {})["tracelift.upgrade.trigger"] == "sidecar"
        assert application.holding.is_released(TRACE)


def test_a_span_that_ends_after_its_trace_was_listed_is_exported(sidecar: FakeSidecar) -> None:
    with beside(sidecar.origin) as application:
        with application.tracer.start_as_current_span("GET /", caller(TRACE)):
            sidecar.upgrade(TRACE)
            wait_until(lambda: application.holding.is_released(TRACE), "the list is read")
        assert application.exported() == ["GET /"]


def test_a_trace_that_this_process_never_saw_is_not_counted(sidecar: FakeSidecar) -> None:
    with beside(sidecar.origin) as application:
        sidecar.upgrade(TRACE)
        wait_until(lambda: application.holding.is_released(TRACE), "the list is read")
        assert application.holding.counts()["releases.sidecar"] == 0


def test_each_request_is_authenticated_and_the_token_never_travels(sidecar: FakeSidecar) -> None:
    with beside(sidecar.origin) as application:
        wait_until(lambda: polls(application, "answered") >= 3, "three answers")
    assert set(sidecar.statuses) == {200}
    first = sidecar.requests[0]
    assert first["traceparent"] == "ff-tracelift-upgrades-1"
    assert not any("the-token" in value for headers in sidecar.requests for value in headers.values())


def test_full_answers_are_followed_at_once_and_all_is_listed(sidecar: FakeSidecar) -> None:
    sidecar.upgrade(*range(1, 401))
    with beside(sidecar.origin) as application:
        wait_until(lambda: application.holding.is_released(400), "the last is listed")
        assert all(application.holding.is_released(trace_id) for trace_id in range(1, 401))
        assert polls(application, "answered") <= 2, "four requests in one turn"
        assert len(sidecar.requests) >= 4


def test_what_the_sidecar_forgot_is_counted_and_a_restarted_one_is_followed(sidecar: FakeSidecar) -> None:
    with beside(sidecar.origin) as application:
        wait_until(lambda: polls(application, "answered"), "an answer")
        sidecar.log.extend(range(1, 1001))
        wait_until(lambda: application.holding.is_released(1000), "the rest is listed")
        assert polls(application, "missed") == 488
        sidecar.epoch, sidecar.log = "e2", [TRACE]
        wait_until(lambda: application.holding.is_released(TRACE), "the new log is read")


def one_connection(origin: str) -> None:
    with beside(origin) as application:
        wait_until(lambda: polls(application, "answered") >= 5, "five answers")


def test_requests_share_one_connection(sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = []
    original = sidecar._server.get_request

    def get_request() -> Any:
        accepted.append(1)
        return original()

    monkeypatch.setattr(sidecar._server, "get_request", get_request)
    one_connection(sidecar.origin)
    assert len(accepted) == 1


def test_a_wrong_token_is_denied_and_logged_once(sidecar: FakeSidecar, caplog: pytest.LogCaptureFixture) -> None:
    sidecar.upgrade(TRACE)
    with beside(sidecar.origin, token="another") as application:  # noqa: S106 - of a test
        wait_until(lambda: polls(application, "denied") >= 3, "three refusals")
        assert not application.holding.is_released(TRACE)
    (record,) = caplog.records
    assert "TRACELIFT_APPLICATION_TOKEN" in record.message


def hang(request: Any) -> None:
    request.connection.settimeout(10)
    assert request.rfile.read(1) == b""


ANSWERS: list[tuple[str, Callable[[Any], None], str]] = [
    ("no filter", lambda request: answer(request, 404, {}), "no_filter"),
    ("another program", lambda request: answer(request, 200, {}, b"<html>" * 100_000), "no_filter"),
    ("another version", lambda request: answer(request, 400, {"x-tracelift-upgrades": "2"}), "refused"),
    ("garbage", lambda request: answer(request, 200, {"x-tracelift-upgrades": "1;a;0;zzz"}), "no_filter"),
    ("a redirect", lambda request: answer(request, 302, {"location": "http://127.0.0.1:1/"}), "no_filter"),
    ("too many requests", lambda request: answer(request, 429, {}), "failed"),
    ("a failure", lambda request: answer(request, 503, {}), "failed"),
    ("a huge header", lambda request: answer(request, 200, {"x-tracelift-upgrades": "1" * 1_000_000}), "failed"),
    ("no HTTP", lambda request: request.wfile.write(b"\x00\x01\x02" * 10), "failed"),
    ("silence", hang, "failed"),
]


@pytest.mark.parametrize(("instead", "outcome"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_whatever_the_sidecar_does_costs_one_log_line_and_no_request(
    sidecar: FakeSidecar, instead: Callable[[Any], None], outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    sidecar.instead = instead
    with beside(sidecar.origin) as application:
        wait_until(lambda: polls(application, outcome) >= 2, f"the outcome is {outcome}")
        began = time.monotonic()
        with application.tracer.start_as_current_span("GET /", caller(TRACE)) as span:
            span.record_exception(ValueError())
        assert time.monotonic() - began < 1
        assert application.exported() == ["GET /"]
        assert polls(application, "answered") == 0
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


def test_a_sidecar_that_is_absent_costs_one_log_line_and_is_found_when_it_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        with beside(f"http://127.0.0.1:{port}") as application:
            wait_until(lambda: polls(application, "failed") >= 3, "three attempts")
    assert len(caplog.records) == 1
    assert f"127.0.0.1:{port}" in caplog.records[0].message


def test_requests_thin_out_while_nothing_answers(monkeypatch: pytest.MonkeyPatch, sidecar: FakeSidecar) -> None:
    sidecar.instead = lambda request: answer(request, 404, {})
    with beside(sidecar.origin) as application:
        wait_until(lambda: len(sidecar.requests) >= 4, "four requests")
        began, before = time.monotonic(), len(sidecar.requests)
        # 0.02 s doubled four times, five times, six times.
        wait_until(lambda: len(sidecar.requests) >= before + 3, "three more")
        assert time.monotonic() - began > 1
        sidecar.instead = None
        wait_until(lambda: polls(application, "answered") >= 5, "back to the period")


def test_without_a_token_nothing_is_asked_and_the_log_says_so(
    sidecar: FakeSidecar, caplog: pytest.LogCaptureFixture
) -> None:
    application = Application(Settings(sidecar=sidecar.origin))
    application.provider.shutdown()
    assert sidecar.requests == []
    assert "TRACELIFT_APPLICATION_TOKEN" in caplog.records[0].message
