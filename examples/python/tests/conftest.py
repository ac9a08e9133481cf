"""What the tests share: an application with a clock that moves by hand, a sidecar and a collector on real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import Application, Collector, FakeSidecar


@pytest.fixture
def application() -> Iterator[Application]:
    application = Application()
    yield application
    application.provider.shutdown()


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    sidecar = FakeSidecar(token="the-token-of-the-pod")  # noqa: S106 - of a test
    yield sidecar
    sidecar.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()
