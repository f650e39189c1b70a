"""The OAuth clients registered at the instance, and their secrets.

They come from one 0600 file, which is written with fresh secrets when it is absent. Without a file
there are no clients at all, since nobody could learn their secrets.
"""

from __future__ import annotations

import hmac
import json
import secrets
from pathlib import Path

from pydantic import ConfigDict, Field, SecretStr

from .private_files import read_private, write_private
from .specs import Spec

DEFAULT_CLIENTS: dict[str, tuple[str, ...]] = {
    "idmap-scim": ("scim:read",),
    "idmap-admin": ("iam:admin.read",),
    "idmap-both": ("scim:read", "iam:admin.read"),
    "no-scopes": (),
}
# One client per way of reading IAM, and one that may read nothing.


class Client(Spec):
    """A confidential client and the scopes an IAM administrator has granted it."""

    client_id: str
    client_secret: SecretStr
    scopes: tuple[str, ...] = ()


class ClientsFile(Spec):
    """What the clients file holds. Its errors never repeat the input, which holds secrets."""

    model_config = ConfigDict(hide_input_in_errors=True)

    clients: tuple[Client, ...] = Field(default=())


class Clients:
    """The registered clients, by id."""

    def __init__(self, clients_file: Path | None = None) -> None:
        """Read `clients_file`; when it is absent, make `DEFAULT_CLIENTS` and write them there.

        Raises `TooOpen` or `pydantic.ValidationError`.
        """
        self._clients: dict[str, Client] = {}
        if clients_file is None:
            return
        stored = read_private(clients_file)
        if stored is None:
            stored = _fresh_clients()
            write_private(clients_file, stored)
        parsed = ClientsFile.model_validate_json(stored)
        self._clients = {client.client_id: client for client in parsed.clients}

    def find_client(self, client_id: str) -> Client | None:
        """The client with that id, if any."""
        return self._clients.get(client_id)

    def find_authenticated(self, client_id: str, client_secret: str) -> Client | None:
        """The client with that id and secret; None when either is wrong."""
        client = self._clients.get(client_id)
        expected = client.client_secret.get_secret_value() if client else ""
        matches = hmac.compare_digest(expected.encode(), client_secret.encode())
        return client if client is not None and matches else None


def _fresh_clients() -> str:
    clients = [
        {
            "client_id": client_id,
            "client_secret": secrets.token_urlsafe(32),
            "scopes": list(scopes),
        }
        for client_id, scopes in DEFAULT_CLIENTS.items()
    ]
    return json.dumps({"clients": clients}, indent=2) + "\n"
