"""Environment variables: what is valid is used, what is not is logged and ignored."""

from __future__ import annotations

import pytest

from tracelift_otel import Settings

DEFAULT = Settings()


def test_nothing_set_is_the_defaults_of_the_page() -> None:
    assert Settings.from_environment({}) == DEFAULT
    assert (DEFAULT.hold_seconds, DEFAULT.hold_bytes, DEFAULT.traces_per_second) == (5, 8 * 1024 * 1024, 100)


def test_everything_can_be_set() -> None:
    settings = Settings.from_environment(
        {
            "TRACELIFT_HOLD_SECONDS": "2.5",
            "TRACELIFT_HOLD_BYTES": " 1024 ",
            "TRACELIFT_TRACES_PER_SECOND": "0",
            "TRACELIFT_SIDECAR": "http://127.0.0.1:15001/",
            "TRACELIFT_APPLICATION_TOKEN": "own",
            "TRACELIFT_RECALL_TOKEN": "of the mesh",
        }
    )
    assert settings == Settings(2.5, 1024, 0, "http://127.0.0.1:15001", "own")


def test_the_token_of_recall_serves_where_there_is_none_of_its_own() -> None:
    assert Settings.from_environment({"TRACELIFT_RECALL_TOKEN": "of the mesh"}).token == "of the mesh"  # noqa: S105


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRACELIFT_HOLD_SECONDS", "soon"),
        ("TRACELIFT_HOLD_SECONDS", "0"),
        ("TRACELIFT_HOLD_SECONDS", "nan"),
        ("TRACELIFT_HOLD_SECONDS", "61"),
        ("TRACELIFT_HOLD_BYTES", "8MiB"),
        ("TRACELIFT_HOLD_BYTES", "-1"),
        ("TRACELIFT_TRACES_PER_SECOND", "inf"),
        ("TRACELIFT_SIDECAR", "127.0.0.1:15001"),
        ("TRACELIFT_SIDECAR", "http://"),
        ("TRACELIFT_SIDECAR", "ftp://127.0.0.1"),
        ("TRACELIFT_SIDECAR", "http://127.0.0.1:15001/path"),
        ("TRACELIFT_SIDECAR", "http://127.0.0.1:15001/?a=b"),
        ("TRACELIFT_SIDECAR", "http://user@127.0.0.1"),
        ("TRACELIFT_SIDECAR", "http://127.0.0.1:port"),
    ],
)
def test_what_is_not_valid_is_named_and_ignored(name: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Settings.from_environment({name: value}) == DEFAULT
    (record,) = caplog.records
    assert name in record.message
    assert value in record.message


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("http://[::1]:15001", "http://[::1]:15001"),
        ("https://catalog.shop", "https://catalog.shop"),
        ("http://CATALOG:80", "http://catalog:80"),
    ],
)
def test_a_sidecar_is_an_origin(given: str, origin: str) -> None:
    assert Settings.from_environment({"TRACELIFT_SIDECAR": given}).sidecar == origin
