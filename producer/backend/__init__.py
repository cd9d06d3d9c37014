"""Where jobs are handed in and asked for: at the storage and the Redis that workers share, or at a server.

Hands out `Backend`, the interface (`protocol`), and `open_backend`, which gives the one that settings name: `direct` or
`http`. What the command and the Python API do goes through it. What must not come in: what people see of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.backend.protocol import Backend, Listed, Reading

if TYPE_CHECKING:
    from contract.settings import Settings

__all__ = ["Backend", "Listed", "Reading", "open_backend"]


def open_backend(settings: Settings, *, create: bool = False) -> Backend:
    """The backend of these settings; with `create`, a storage that is not there is made. Nothing is asked for yet.

    Raises StorageUnreachable, UsageError.
    """
    if settings.server:
        return _at_server(settings)
    from contract.namespace import open_queue
    from contract.storage import open_storage
    from producer.backend.direct import DirectBackend

    storage = open_storage(settings.storage_url, create=create)
    return DirectBackend(settings, storage, open_queue(settings, storage))


def _at_server(settings: Settings) -> Backend:
    from contract.errors import MissingExtra

    try:
        from producer.backend.http import HttpBackend
    except ModuleNotFoundError as error:
        raise MissingExtra("asking a server", str(error.name), "http") from error
    token = settings.api_token.get_secret_value().partition(",")[0].strip()
    return HttpBackend(settings.server, token)
