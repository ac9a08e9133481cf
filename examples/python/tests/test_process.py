"""Threads, forks, and the end of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from fakes import Application, Collector, FakeSidecar, caller, wait_until
from opentelemetry.trace import StatusCode

from tracelift_otel import Settings, sidecar


def test_threads_hold_and_release_without_losing_a_span() -> None:
    application = Application(Settings(traces_per_second=100_000))
    threads, requests = 8, 250
    failed: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for number in range(requests):
                trace_id = 1 + thread * requests + number
                with application.tracer.start_as_current_span("GET /", caller(trace_id)) as span:
                    with application.tracer.start_as_current_span("work"):
                        pass
                    if number % 5 == 0:
                        span.set_status(StatusCode.ERROR)
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counts = application.holding.counts()
    assert failed == []
    assert counts["spans.held"] == threads * requests * 2
    assert counts["spans.released"] == len(application.exported()) == threads * requests * 2 // 5
    assert counts["spans.held"] == sum(counts[f"spans.{part}"] for part in ("released", "expired", "evicted", "spans"))


def test_spans_of_one_trace_from_several_threads_are_released_together(application: Application) -> None:
    from opentelemetry import context, trace

    with application.tracer.start_as_current_span("GET /", caller(1)) as span:
        here = context.get_current()

        def work() -> None:
            with application.tracer.start_as_current_span("in a thread", here):
                pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert application.exported() == []
        trace.get_current_span().record_exception(ValueError())
        assert application.holding.signal_for(span)
    assert sorted(application.exported()) == ["GET /", *["in a thread"] * 4]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_holds_nothing_of_its_parent_and_asks_by_itself(
    sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["tracelift_otel.sidecar"], "PERIOD_SECONDS", 0.02)
    application = Application(Settings(sidecar=sidecar.origin, token=sidecar.token))
    with application.tracer.start_as_current_span("GET /", caller(1)):
        pass
    wait_until(lambda: application.holding.counts()["polls.answered"], "the parent asks")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            empty = application.holding.counts()["spans.spans"] == 0
            with application.tracer.start_as_current_span("in the child", caller(2)):
                pass
            sidecar_listed = time.monotonic() + 10
            while not application.exporter.get_finished_spans() and time.monotonic() < sidecar_listed:
                time.sleep(0.01)
            code = 0 if empty and application.exported() == ["in the child"] else 2
        finally:
            os._exit(code)
    sidecar.upgrade(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    sidecar.upgrade(1)
    wait_until(application.exported, "the parent still holds its own")
    assert application.exported() == ["GET /"]
    application.provider.shutdown()


def test_shutdown_asks_a_last_time_drops_the_rest_and_takes_no_longer_than_that(
    sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = Application(Settings(sidecar=sidecar.origin, token=sidecar.token))
    wait_until(lambda: application.holding.counts()["polls.answered"], "the first answer")
    for trace_id in (1, 2):
        with application.tracer.start_as_current_span("GET /", caller(trace_id)):
            pass
    sidecar.upgrade(2)
    began = time.monotonic()
    application.provider.shutdown()
    assert time.monotonic() - began < 3
    assert [span.context.trace_id for span in application.spans() if span.context] == [2]
    counts = application.holding.counts()
    assert (counts["spans.spans"], counts["spans.expired"]) == (0, 1)
    application.holding.shutdown()


def test_shutdown_does_not_wait_for_a_sidecar_that_never_answered() -> None:
    application = Application(Settings(sidecar="http://127.0.0.1:1", token="x"))  # noqa: S106 - of a test
    wait_until(lambda: application.holding.counts()["polls.failed"], "the first attempt")
    began = time.monotonic()
    application.provider.shutdown()
    assert time.monotonic() - began < 1


PROGRAM = """
import os, sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, ALWAYS_OFF
import tracelift_otel

provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
tracelift_otel.install(provider, BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("program")
with tracer.start_as_current_span("well"):
    pass
with tracer.start_as_current_span("broken") as span:
    span.record_exception(ValueError("broken"))
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_two_lines_export_a_failed_trace_when_the_program_ends_and_hang_never(collector: Collector, how: str) -> None:
    environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline() == "ready\n"
        if how == "ends":
            program.stdin.write("\n")
            program.stdin.close()
        else:
            program.send_signal(signal.SIGKILL)
        program.wait(timeout=30)
    assert [span.name for span in collector.all()] == (["broken"] if how == "ends" else [])


def test_the_period_is_a_second() -> None:
    assert sidecar.PERIOD_SECONDS == 1
