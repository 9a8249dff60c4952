"""Who hears of a sweep's end, in its spec."""

from __future__ import annotations

import shlex

from pydantic import Field, field_validator

from hsplid_core.config.rules import rule
from hsplid_core.errors import ConfigError
from sweeps.spec.cluster_spec import SpecSection


class NotifySpec(SpecSection):
    """Who hears that a sweep has finished, was stopped, or has failed; told once.

    Attributes:
        command: A command, which gets the message as its input, and ``SWEEP_NAME`` and
            ``SWEEP_STATE`` (finished, stopped, failed) in its environment: ``mail -s done me``.
        webhook: Name of an environment variable that holds the URL of a webhook, for such a URL is
            a secret; the message is sent as Slack and its like take it, ``{"text": ...}``.
    """

    command: str | None = Field(default=None, max_length=2000)
    webhook: str | None = None

    @field_validator("command")
    @classmethod
    @rule
    def _command_can_be_split(cls, value: str | None) -> str | None:
        try:
            words = [] if value is None else shlex.split(value)
        except ValueError as error:
            raise ConfigError(f"command is {value}, which is no command ({error})") from error
        if value is not None and not words:
            raise ConfigError("command is empty: name a command, or null for none")
        return value

    @field_validator("webhook")
    @classmethod
    @rule
    def _webhook_is_no_url(cls, value: str | None) -> str | None:
        if value is not None and not value.isidentifier():
            shown = "a URL" if "://" in value else value
            raise ConfigError(
                f"webhook is {shown}: name the environment variable that holds the URL, such as "
                "SLACK_WEBHOOK, for the spec is logged"
            )
        return value
