"""The channels' settings: none is needed, and what is set is whole or refused."""

from __future__ import annotations

import pytest

from shared.runtime.config import ConfigurationError, load
from shared.runtime.definition import ServiceSettings

PLAIN = {"NATS_URL": "nats://a", "DATABASE_URL": "postgresql://a"}
MAIL = {"SMTP_HOST": "smtp.example.org", "MAIL_FROM": "game@example.org"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOK = {"NOTIFY_WEBHOOK_URL": "https://a/hunter2", "NOTIFY_WEBHOOK_SECRET": SECRET}


def test_nothing_is_needed_and_starttls_is_required_unless_it_is_turned_off() -> None:
    assert load(ServiceSettings, PLAIN).smtp_starttls
    settings = load(ServiceSettings, {**PLAIN, **MAIL, "SMTP_STARTTLS": "false"})
    assert not settings.smtp_starttls
    assert (settings.smtp_host, settings.smtp_port) == ("smtp.example.org", 587)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"SMTP_HOST": "a"}, "MAIL_FROM is not set, and SMTP_HOST needs it"),
        ({"MAIL_FROM": "a@b"}, "SMTP_HOST is not set, and MAIL_FROM needs it"),
        ({"MAIL_OPERATORS": "a@b"}, "SMTP_HOST is not set, and MAIL_OPERATORS needs it"),
        ({**MAIL, "SMTP_USERNAME": "a"}, "SMTP_PASSWORD is not set, and SMTP_USERNAME needs it"),
        ({**MAIL, "SMTP_PASSWORD": "a"}, "SMTP_USERNAME is not set, and SMTP_PASSWORD needs it"),
        ({"NOTIFY_WEBHOOK_URL": "https://a"}, "NOTIFY_WEBHOOK_SECRET is not set"),
        ({"NOTIFY_WEBHOOK_SECRET": SECRET}, "NOTIFY_WEBHOOK_URL is not set"),
        ({**WEBHOOK, "NOTIFY_WEBHOOK_SECRET": "hunter2"}, "NOTIFY_WEBHOOK_SECRET is wrong"),
        ({**WEBHOOK, "NOTIFY_WEBHOOK_SECRET": "whsec_aHVudGVyMg=="}, "24 are needed"),
        ({**WEBHOOK, "NOTIFY_WEBHOOK_URL": "ftp://hunter2"}, "NOTIFY_WEBHOOK_URL is wrong"),
        ({**WEBHOOK, "NOTIFY_WEBHOOK_URL": "https://a:hunter2"}, "NOTIFY_WEBHOOK_URL is wrong"),
        (
            {**WEBHOOK, "NOTIFY_WEBHOOK_URL": "https://hunter2\u2100/"},
            "NOTIFY_WEBHOOK_URL is wrong",
        ),
        ({**MAIL, "MAIL_FROM": "a@b\nBcc: c@d"}, "MAIL_FROM is wrong"),
        ({**MAIL, "SMTP_HOST": "smtp://a"}, "SMTP_HOST is wrong"),
        ({**MAIL, "SMTP_STARTTLS": "maybe"}, "SMTP_STARTTLS is wrong"),
        ({**MAIL, "SMTP_PORT": "0"}, "SMTP_PORT is wrong"),
    ],
)
def test_what_is_wrong_is_refused_by_its_variable(given: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(ServiceSettings, {**PLAIN, **given})
    [told] = refused.value.problems
    assert problem in told
    assert ": set it to " in told
    assert "hunter2" not in told
    assert "aHVudGVyMg" not in told


def test_no_secret_is_shown() -> None:
    login = {"SMTP_USERNAME": "game", "SMTP_PASSWORD": "hunter2"}
    settings = load(ServiceSettings, {**PLAIN, **MAIL, **login, **WEBHOOK})
    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)
    assert settings.notify_webhook_secret is not None
    assert len(settings.notify_webhook_secret.key) == 24
