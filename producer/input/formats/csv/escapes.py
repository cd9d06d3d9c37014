"""CSV in which a quote within quotes is escaped, `\\"`, as Spark and Hive write it, into CSV in which it is doubled.

The escape character counts only within quotes, before a quote or itself; elsewhere it is text. A quote that is not
closed within the bytes of a row goes through as it is, up to the end of its line, and is an error of its row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator


def doubled(blocks: Iterator[bytes], escape: str, limit: int) -> Iterator[bytes]:
    """The same text, with quotes doubled instead of escaped by `escape`, an ASCII character."""
    mark = re.escape(escape.encode())
    field = re.compile(rb'"(?:[^"%b]++|%b[\s\S]|"")*+"|[^"]+' % (mark, mark))
    escaped = re.compile(rb'%b(["%b])' % (mark, mark))
    rest = b""
    for block in blocks:
        rest += block
        at = 0
        while at < len(rest):
            match = field.match(rest, at)
            # A quote at the end of the block may not end its field: if another follows, the two are a doubled one.
            if match and (match.end() < len(rest) or rest[at : at + 1] != b'"'):
                yield escaped.sub(_plain, match[0]) if rest[at : at + 1] == b'"' else match[0]
                at = match.end()
            elif len(rest) - at > limit:
                end = rest.find(b"\n", at) + 1 or len(rest)
                yield rest[at:end]
                at = end
            else:
                break
        rest = rest[at:]
    yield escaped.sub(_plain, rest)


def _plain(match: re.Match[bytes]) -> bytes:
    return b'""' if match[1] == b'"' else match[1]
