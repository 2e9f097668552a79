"""Settings are typed, and refused with every error at once."""

from __future__ import annotations

from typing import Annotated

import pytest
from msgspec import Meta

from shared.runtime.config import ConfigurationError, DatabaseSettings, Secret, load


class PlantSettings(DatabaseSettings, frozen=True, kw_only=True):
    lease_seconds: Annotated[float, Meta(gt=0, description="seconds above 0")] = 30.0
    workers: Annotated[int, Meta(ge=1, description="a number from 1")] = 8


COMPLETE = {"NATS_URL": "nats://a", "DATABASE_URL": "postgresql://player:hunter2@a/b"}


def test_variables_become_typed_fields_and_the_rest_keeps_its_defaults() -> None:
    settings = load(PlantSettings, {**COMPLETE, "LEASE_SECONDS": "2.5", "HTTP_PORT": "0"})

    assert (settings.lease_seconds, settings.http_port, settings.workers) == (2.5, 0, 8)
    assert settings.database_url.reveal() == COMPLETE["DATABASE_URL"]


def test_all_errors_are_told_at_once_each_with_variable_and_remedy() -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(PlantSettings, {"WORKERS": "0", "HTTP_PORT": "http", "DATABASE_URL": ""})

    text = str(refused.value)
    assert len(refused.value.problems) == 4
    assert "NATS_URL is not set: set it to the address of NATS" in text
    assert "DATABASE_URL is not set" in text
    assert "WORKERS is wrong (Expected `int` >= 1): set it to a number from 1" in text
    assert "HTTP_PORT is wrong (Expected `int`, got `str`): set it to a port" in text


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "http://user:hunter2@127.0.0.1:4318"])
def test_a_collector_has_a_scheme_and_no_credentials(endpoint: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(PlantSettings, {**COMPLETE, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    assert "OTEL_EXPORTER_OTLP_HEADERS has those" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_neither_a_message_nor_a_repr_shows_a_secret() -> None:
    shown = repr(load(PlantSettings, COMPLETE))
    with pytest.raises(ConfigurationError) as refused:
        load(PlantSettings, {**COMPLETE, "WORKERS": "hunter2"})

    assert "hunter2" not in shown
    assert "hunter2" not in str(refused.value)
    assert f"{Secret('hunter2')} {Secret('hunter2')!r}" == "Secret(***) Secret(***)"
