"""Addresses of servers and databases: how each is checked, and written without its secrets.

A spec is printed, logged and sent to MLflow, so no address in it may hold a password or a token.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from hsplid_core.errors import ConfigError, did_you_mean

_SERVERS = ("http", "https")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
# What stands before the host: a name, and perhaps a password. A port before a path is none.
_USER = re.compile(r"(?P<name>[^/?#:@]*)(:(?!\d+[/?#]).*)?@")
_SECRET = re.compile(r"pass(word|wd)?$|pwd$|token$|secret$", re.IGNORECASE)


def without_secrets(address: str) -> str:
    """Return an address as people may see it: without password, token or, of a server, user.

    What is left still is an address of the same place. Whatever is no address at all loses what
    stands before an ``@`` in the same way.
    """
    before, separator, rest = address.partition("://")
    if not separator:
        before, rest = "", address
    if found := _USER.match(rest):
        name = "" if before.lower() in _SERVERS else f"{found['name']}@"
        rest = name + rest[found.end() :]
    place, mark, query = rest.partition("?")
    kept = [each for each in query.split("&") if not _SECRET.search(each.partition("=")[0])]
    return before + separator + place + (mark if query and any(kept) else "") + "&".join(kept)


def check_no_secret(field: str, address: str, remedy: str) -> None:
    """Refuse an address that holds a password or a token.

    Args:
        field: What it is the address of, for the message.
        address: The address.
        remedy: Where its secret may come from.

    Raises:
        ConfigError: It does; the message shows it without.
    """
    shown = without_secrets(address)
    if shown != address:
        raise ConfigError(
            f"{field} is {shown}, with a password: take it out, for it would be logged; {remedy}"
        )


def check_server(field: str, address: str, example: str) -> None:
    """Check the URL of a server, ``http`` or ``https``.

    Raises:
        ConfigError: It has no host, another port than a number, or more than a path.
    """
    fault = _url_fault(address)
    if not fault and (urlsplit(address).scheme not in _SERVERS or not urlsplit(address).hostname):
        fault = "is no URL of a server"
    if fault:
        raise ConfigError(f"{field} is {without_secrets(address)}, which {fault}: use {example}")


def check_tracking_uri(uri: str, *, field: str = "uri") -> str:
    """Check where MLflow shall record, and return it.

    Args:
        uri: Tracking server or database.
        field: What names it, for the message.

    Raises:
        ConfigError: It is neither, or holds a password.
    """
    scheme, separator, rest = uri.partition("://")
    kind = scheme.lower().partition("+")[0]
    if kind in _SERVERS:
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    else:
        remedy = "set PGPASSWORD, or name a file that the database's driver reads"
    check_no_secret(field, uri, remedy)
    if not separator or kind not in (*_SERVERS, *_DATABASES):
        raise ConfigError(
            f"{field} is {uri}: use a server, http://host:5000, or a database, "
            f"sqlite:///runs/mlflow.db or postgresql://user@host/database"
            f"{did_you_mean(scheme, (*_SERVERS, *_DATABASES))}"
        )
    if kind in _SERVERS:
        check_server(field, uri, "http://host:5000")
    elif kind == "sqlite":
        _check_file(field, uri, rest)
    elif fault := _url_fault(uri):
        raise ConfigError(f"{field} is {uri}, which {fault}: use {kind}://user@host:port/database")
    return uri


def check_cluster_address(address: str) -> str:
    """Check the address of a Ray cluster that a sweep joins, and return it.

    Raises:
        ConfigError: It is neither ``auto`` nor a host and a port.
    """
    port = address.rpartition(":")[2]
    is_place = re.fullmatch(r"[\w.-]+:\d+|\[[\da-fA-F:.]+\]:\d+", address)
    if address == "auto" or (is_place and 0 < int(port) < 65536):
        return address
    raise ConfigError(
        f"address is {without_secrets(address)}: use HOST:PORT of the head (6379) on one of the "
        "cluster's nodes, or auto; from another machine, python -m sweeps.submit with the URL of "
        "the dashboard"
    )


def _check_file(field: str, uri: str, rest: str) -> None:
    name = unquote(rest.removeprefix("/"))
    if not rest.startswith("/") or name in ("", ":memory:"):
        raise ConfigError(f"{field} is {uri}: name a file, as in sqlite:///runs/mlflow.db")
    if "?" in rest:
        raise ConfigError(f"{field} is {uri}: write %3F for the ? in a file's name")


def _url_fault(url: str) -> str:
    """Say what is wrong with a URL; nothing where nothing is."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"is no URL ({error})"
    if parts.scheme in _SERVERS and (parts.query or parts.fragment):
        return "has more than a host and a path"
    return ""
