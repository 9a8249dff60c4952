"""Secrets on their way to a job: readable for whoever holds the cluster's token, for nobody else.

Ray keeps a job's environment variables in its own store, writes them into logs and shows them to
everyone who may look at the dashboard. So a password travels encrypted, with a key made from the
token that submitter and cluster share, and only the job's own process opens it:
``python -m sweeps.cluster.job_secrets COMMAND ...`` runs a command with the secrets in its
environment.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from hsplid_core.errors import ConfigError
from sweeps.cluster.token import cluster_token

SEALED = "SALIENCY_SWEEPS_SEALED"

_SALT_BYTES = 16


def seal(secrets: Mapping[str, str], token: str) -> str:
    """Encrypt environment variables.

    Args:
        secrets: Values by name.
        token: The cluster's token.

    Returns:
        Text that is safe to store: authenticated encryption (Fernet), under a key that scrypt
        makes of the token and a salt of its own.
    """
    salt = os.urandom(_SALT_BYTES)
    sealed = Fernet(_key(token, salt)).encrypt(json.dumps(dict(secrets)).encode())
    return f"{base64.urlsafe_b64encode(salt).decode()}.{sealed.decode()}"


def unseal(text: str, token: str) -> dict[str, str]:
    """Decrypt what :func:`seal` made.

    Raises:
        ConfigError: It was sealed with another token, or is damaged.
    """
    salt, _, sealed = text.partition(".")
    try:
        opened = Fernet(_key(token, base64.urlsafe_b64decode(salt))).decrypt(sealed.encode())
    except (InvalidToken, ValueError) as error:
        raise ConfigError(
            "the secrets sent along cannot be read: they were sealed with another token than "
            "this cluster's; submit with the token of the cluster"
        ) from error
    secrets: dict[str, str] = json.loads(opened)
    return secrets


def _key(token: str, salt: bytes) -> bytes:
    made = Scrypt(salt=salt, length=32, n=2**14, r=8, p=1).derive(token.strip().encode())
    return base64.urlsafe_b64encode(made)


def main(argv: Sequence[str]) -> int:
    """Become a command, with the sealed secrets in its environment.

    Args:
        argv: The command and its arguments.

    Returns:
        2 where the secrets cannot be opened; else nothing, as the command takes over.
    """
    environment = dict(os.environ)
    try:
        environment |= unseal(environment.pop(SEALED), cluster_token() or "")
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    os.execvpe(argv[0], list(argv), environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
