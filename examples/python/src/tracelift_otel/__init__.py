"""Holds the spans of dropped traces for a few seconds, and releases those of traces that fail.

The application's half of the contract in docs/applications.md of Tracelift.
"""

from tracelift_otel.processor import HoldingSpanProcessor
from tracelift_otel.sampler import HoldingSampler
from tracelift_otel.settings import Settings
from tracelift_otel.setup import install

__all__ = ["HoldingSampler", "HoldingSpanProcessor", "Settings", "install"]
