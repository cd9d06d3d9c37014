"""What somebody left under keys of ours: all that Redis holds is a hint, so it is removed, and with a word."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

import redis

from contract.queue.scripts import lua

#: Between two lines about what was dropped, in seconds.
_QUIET = 10.0


class Dropped:
    """Says what was dropped: the first at once, then one line for all in ten seconds. Nothing of it is repeated."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said = float("-inf")
        self._unsaid = 0

    def say(self, reason: str, count: int = 1) -> None:
        """`reason` is the newest's, `count` how many more there are."""
        self._unsaid += count
        if time.monotonic() - self._said >= _QUIET:
            self._log.warning("dropped from Redis what is none of ours (%d): %.200s", self._unsaid, reason)
            self._said, self._unsaid = time.monotonic(), 0


def is_wrong_type(error: BaseException) -> bool:
    """Whether Redis refused because a key is of another type; a script says so in its own words."""
    return "WRONGTYPE" in str(error)


class Healer:
    """Removes keys of another type than ours, by commands that are in use anyway (SECURITY.md lists them)."""

    def __init__(self, client: redis.Redis) -> None:
        self._heal = client.register_script(lua("heal"))

    def heal(
        self,
        *,
        lists: Iterable[str] = (),
        zsets: Iterable[str] = (),
        hashes: Iterable[str] = (),
    ) -> int:
        """Remove those of the keys that are of another type. Returns how many. Raises redis.RedisError."""
        probes: list[tuple[str, Any]] = []
        for command, keys in (("LLEN", lists), ("ZCARD", zsets), ("HGET", hashes)):
            probes += [(key, command) for key in keys]
        if not probes:
            return 0
        return int(self._heal(keys=[key for key, _ in probes], args=[command for _, command in probes]))
