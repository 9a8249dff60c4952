"""Address of a study: what a spec may say about where it is kept."""

from __future__ import annotations

from urllib.parse import urlsplit

from hsplid_core.errors import ConfigError, did_you_mean
from sweeps.spec.addresses import check_no_secret, without_secrets

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
    scheme, separator, _ = text.partition("://")
    if not separator or scheme not in _POSTGRES:
        raise ConfigError(
            f"storage is {without_secrets(text)}: use journal, sqlite or "
            f"postgresql://user@host/database{did_you_mean(text, FILE_KINDS)}"
        )
    check_no_secret("storage", text, "set PGPASSWORD, or PGPASSFILE to a password file")
    return text


def is_same_database(one: str, other: str) -> bool:
    """Tell whether two addresses surely name the same PostgreSQL database.

    Args:
        one: Of any kind, or empty.
        other: Likewise.
    """
    places = []
    for text in (one, other):
        url = urlsplit(text)
        if url.scheme.partition("+")[0] not in ("postgresql", "postgres") or not url.hostname:
            return False
        places.append((url.hostname, url.port or 5432, url.path))
    return places[0] == places[1]
