"""Address of a study: what a spec may say about where it is kept."""

from __future__ import annotations

from hsplid_core.errors import ConfigError, did_you_mean

FILE_KINDS = ("journal", "sqlite")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")


def check_storage(text: str) -> str:
    """Check what a spec says about the study's storage, and return it.

    Raises:
        ConfigError: It is neither a known kind nor the URL of a PostgreSQL database, or holds a
            password.
    """
    if text in FILE_KINDS:
        return text
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _POSTGRES:
        raise ConfigError(
            f"storage is {_without_password(text)}: use journal, sqlite or "
            f"postgresql://user@host/database{did_you_mean(text, FILE_KINDS)}"
        )
    user, at, _ = rest.rpartition("@")
    if (at and ":" in user) or "password=" in rest:
        raise ConfigError(
            f"storage is {_without_password(text)}, with a password: take it out, for the spec is "
            "logged; set PGPASSWORD, or PGPASSFILE to a password file"
        )
    return text


def _without_password(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    credentials, at, address = rest.rpartition("@")
    if not separator or not at:
        return scheme + separator + rest.partition("?")[0]
    return f"{scheme}://{credentials.partition(':')[0]}@{address.partition('?')[0]}"
