"""What `Client` and `AsyncClient` share: how they connect, and how they are pickled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.api.errors import raises_api_errors

if TYPE_CHECKING:
    import os
    from typing import Any, Self

    from producer.backend import Backend
    from producer.backend.direct import DirectBackend


class Connection:
    """A backend, and the arguments that it was opened with.

    Pickled, it is those arguments: another process connects again, and takes from its environment what came from ours.
    """

    @raises_api_errors
    def __init__(
        self,
        storage: str | os.PathLike[str] | None = None,
        redis: str | None = None,
        *,
        server: str | None = None,
        token: str | None = None,
    ) -> None:
        from contract import settings
        from contract.errors import UsageError
        from producer.backend import open_backend

        storage_url = None if storage is None else str(storage)
        if storage_url or redis:
            if server:
                raise UsageError("server cannot be combined with storage or redis", "Leave out one or the other.")
            server = ""
        self._backend: Backend = open_backend(
            settings.load(storage_url=storage_url, redis_url=redis, server=server, api_token=token), create=True
        )
        self._arguments: dict[str, Any] = {
            "storage": storage_url and self._backend.url, "redis": redis, "server": server, "token": token
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backend.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (type(self), self._arguments)

    @classmethod
    def _over(cls, other: Connection) -> Self:
        """The same connection as another class."""
        connection = cls.__new__(cls)
        connection._backend, connection._arguments = other._backend, other._arguments
        return connection

    def _direct(self, what: str) -> DirectBackend:
        """The backend, for what works on the storage itself. Raises UsageError for a server."""
        from contract.errors import UsageError
        from producer.backend.direct import DirectBackend

        if not isinstance(self._backend, DirectBackend):
            raise UsageError(
                f"{what} works on the storage itself, and this client uses a server",
                "Call it where the storage is, with Client(storage=...).",
            )
        return self._backend


def _opened(kind: type[Connection], arguments: dict[str, Any]) -> Connection:
    return kind(**arguments)
