"""A service under ``opentelemetry-instrument``, as a user runs it, between a sidecar and a collector."""

from __future__ import annotations

import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import requests
from fakes import Collector, FakeSidecar, wait_until
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SERVICES = Path(__file__).parents[1] / "services"
#: What the script ``opentelemetry-instrument`` runs. The script names a Python by its path, and environments move.
INSTRUMENT = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
CALLER = 0xB7AD6B7169203331


def command(script: str) -> list[str]:
    """Runs that service."""
    return [sys.executable, "-c", INSTRUMENT, sys.executable, str(SERVICES / script)]


def environment(sidecar: FakeSidecar, collector: Collector, **more: str) -> dict[str, str]:
    """Exports to the collector, calls and asks the sidecar."""
    return (
        dict(os.environ)
        | {
            "OUTBOUND": sidecar.origin,
            "OTEL_PYTHON_CONFIGURATOR": "tracelift",
            "OTEL_PYTHON_EXCLUDED_URLS": "healthz",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin,
            "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "TRACELIFT_SIDECAR": sidecar.origin,
            "TRACELIFT_APPLICATION_TOKEN": sidecar.token,
            # A test machine may be busy.
            "TRACELIFT_HOLD_SECONDS": "30",
        }
        | more
    )


@dataclass
class Service:
    """One of them, running."""

    origin: str
    sidecar: FakeSidecar
    collector: Collector

    def request(
        self,
        path: str,
        *,
        fault: str = "",
        sampled: bool = False,
        method: str = "GET",
        fault_header: str = "x-demo-fault",
    ) -> tuple[int, requests.Response]:
        """Sends a request as its sidecar would; also returns the trace-id."""
        trace_id = random.getrandbits(127) + 1
        headers = {"traceparent": f"00-{trace_id:032x}-{CALLER:016x}-0{int(sampled)}"}
        if fault:
            headers[fault_header] = fault
        return trace_id, requests.request(method, self.origin + path, headers=headers, timeout=20)

    def spans(self, trace_id: int, *names: str) -> dict[str, Span]:
        """The spans of the trace, when those have come: one tree below the caller, each span once."""

        def is_whole() -> bool:
            spans = self.collector.of(trace_id)
            parents = {span.parent_span_id for span in spans}
            known = {span.span_id for span in spans} | {CALLER.to_bytes(8, "big")}
            named = {span.name for span in spans}
            return set(names) <= named and parents <= known and CALLER.to_bytes(8, "big") in parents

        wait_until(is_whole, f"{names} of {trace_id:032x}, with all their parents")
        spans = self.collector.of(trace_id)
        assert len({span.span_id for span in spans}) == len(spans)
        return {span.name: span for span in spans}


def trigger(span: Span) -> str | None:
    found = [item.value.string_value for item in span.attributes if item.key == "tracelift.upgrade.trigger"]
    return found[0] if found else None


def triggers(spans: dict[str, Span]) -> set[str]:
    """Why spans were released. What began after that, as ASGI's span of sending, was sampled and says nothing."""
    return {found for span in spans.values() if (found := trigger(span))}


def root(spans: dict[str, Span]) -> Span:
    (found,) = [span for span in spans.values() if int.from_bytes(span.parent_span_id, "big") == CALLER]
    return found
