"""Removing foreign data under bulkqa's keys, with a log line: everything in Redis is only a hint."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

import redis

from contract.queue.scripts import lua

#: Seconds between two log lines about dropped data.
_QUIET = 10.0


class Dropped:
    """Logs what was dropped: the first item at once, then one line every ten seconds. The data itself is not logged."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._logged_at = float("-inf")
        self._count = 0

    def add(self, reason: str, count: int = 1) -> None:
        """Count dropped items. `reason`: why the newest was dropped."""
        self._count += count
        if time.monotonic() - self._logged_at >= _QUIET:
            self._log.warning("dropped foreign data from Redis (%d items): %.200s", self._count, reason)
            self._logged_at, self._count = time.monotonic(), 0


def is_wrong_type(error: BaseException) -> bool:
    """Whether Redis refused because a key has another type. Scripts wrap that error in a message of their own."""
    return "WRONGTYPE" in str(error)


class Healer:
    """Removes keys that have the wrong type, by commands that are in use anyway (SECURITY.md lists them)."""

    def __init__(self, client: redis.Redis) -> None:
        self._heal = client.register_script(lua("heal"))

    def heal(
        self,
        *,
        lists: Iterable[str] = (),
        zsets: Iterable[str] = (),
        hashes: Iterable[str] = (),
    ) -> int:
        """Remove those of the keys that have another type. Returns how many. Raises redis.RedisError."""
        probes: list[tuple[str, Any]] = []
        for command, keys in (("LLEN", lists), ("ZCARD", zsets), ("HGET", hashes)):
            probes += [(key, command) for key in keys]
        if not probes:
            return 0
        return int(self._heal(keys=[key for key, _ in probes], args=[command for _, command in probes]))
