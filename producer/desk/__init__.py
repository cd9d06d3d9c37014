"""Where jobs are handed in and asked for: at the storage and the Redis that workers share, or at a server.

Hands out `Desk`, the interface (`protocol`), and `open_desk`, which gives the one that settings name: `shared`, or
`http`. What the command and the Python API do goes through it. What must not come in: what people see of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.desk.protocol import Desk, Listed, Reading

if TYPE_CHECKING:
    from contract.settings import Settings

__all__ = ["Desk", "Listed", "Reading", "open_desk"]


def open_desk(settings: Settings, *, create: bool = False) -> Desk:
    """The desk of these settings; with `create`, a storage that is not there is made. Nothing is asked for yet.

    Raises StorageUnreachable, UsageError.
    """
    if settings.server:
        return _at_server(settings)
    from contract.namespace import open_queue
    from contract.storage import open_storage
    from producer.desk.shared import Shared

    storage = open_storage(settings.storage_url, create=create)
    return Shared(settings, storage, open_queue(settings, storage))


def _at_server(settings: Settings) -> Desk:
    from contract.errors import MissingExtra

    try:
        from producer.desk.http import Remote
    except ModuleNotFoundError as error:
        raise MissingExtra("asking a server", str(error.name), "http") from error
    token = settings.api_token.get_secret_value().partition(",")[0].strip()
    return Remote(settings.server, token)
