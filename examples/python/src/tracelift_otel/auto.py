"""For ``opentelemetry-instrument``: ``OTEL_PYTHON_CONFIGURATOR=tracelift``."""

from __future__ import annotations

import logging
import os
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from tracelift_otel.processor import HoldingSpanProcessor
from tracelift_otel.setup import connect

_logger = logging.getLogger(__name__)

NAME = "tracelift"
_CHOICE = "OTEL_PYTHON_CONFIGURATOR"


class Configurator(_OTelSDKConfigurator):
    """The SDK's configurator, from the same environment variables, with holding added."""

    def _configure(self, **kwargs: Any) -> None:
        # Entry points come in no order: where no user chose, being installed must change nothing.
        holding = self._holding() if os.environ.get(_CHOICE) == NAME else None
        if holding is None:
            super()._configure(**kwargs)  # type: ignore[no-untyped-call]
            return

        def exporting(exporter: SpanExporter, **options: Any) -> SpanProcessor:
            processor = BatchSpanProcessor(exporter, **options)
            holding.export_through(processor)
            return processor

        kwargs["span_processors"] = [holding, *kwargs.get("span_processors", ())]
        kwargs["export_span_processor"] = exporting
        super()._configure(**kwargs)  # type: ignore[no-untyped-call]
        try:
            provider = trace.get_tracer_provider()
            if isinstance(provider, TracerProvider):
                connect(provider, holding)
        except Exception:
            _logger.exception("tracelift: could not be installed; spans of dropped traces are not recorded.")

    @staticmethod
    def _holding() -> HoldingSpanProcessor | None:
        try:
            return HoldingSpanProcessor()
        except Exception:
            _logger.exception("tracelift: could not be installed; spans of dropped traces are not recorded.")
            return None
