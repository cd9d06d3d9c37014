"""How the command, the Python API and the server reach jobs: storage and Redis directly, or through a server.

Exports `Backend`, the interface (`protocol`), and `open_backend`, which opens the one that the settings name: `direct`
or `http`. The command and the Python API use it; the routes of a server use `direct`. What must not come in: what
people see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.backend.protocol import Backend, Listed, Reading

if TYPE_CHECKING:
    from contract.settings import Settings
    from producer.backend.direct import DirectBackend

__all__ = ["Backend", "Listed", "Reading", "open_backend", "open_direct"]


def open_backend(settings: Settings, *, create: bool = False) -> Backend:
    """The backend that the settings name. With `create`, a storage that does not exist is created. Connects to nothing
    yet.

    Raises StorageUnreachable, UsageError.
    """
    return _at_server(settings) if settings.server else open_direct(settings, create=create)


def open_direct(settings: Settings, *, create: bool = False, brief: bool = False) -> DirectBackend:
    """The same on the storage and Redis, whatever server the settings name. A `brief` one, for requests, leaves work
    that grows with a job to workers and the sweeper."""
    from contract.ledger.reconcile import BRIEF, WHOLE
    from contract.namespace import open_queue
    from contract.storage import open_storage
    from producer.backend.direct import DirectBackend

    storage = open_storage(settings.storage_url, create=create)
    return DirectBackend(settings, storage, open_queue(settings, storage), BRIEF if brief else WHOLE)


def _at_server(settings: Settings) -> Backend:
    from contract.errors import MissingExtra

    try:
        from producer.backend.http import HttpBackend
    except ModuleNotFoundError as error:
        raise MissingExtra("using a server", str(error.name), "http") from error
    token = settings.api_token.get_secret_value().partition(",")[0].strip()
    return HttpBackend(settings.server, token)
