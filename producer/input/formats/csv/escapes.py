"""CSV in which a quote within quotes is escaped, `\\"`, as Spark and Hive write it, into CSV in which it is doubled.

Only within quotes, and of a quote or of itself: any other such character is text. What is opened and not closed within
the bytes of a row goes through as it is, up to the end of its line, and is an error of its row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator


def doubled(blocks: Iterator[bytes], escape: str, limit: int) -> Iterator[bytes]:
    """The same lines, with no quote escaped by `escape`, an ASCII character."""
    mark = re.escape(escape.encode())
    field = re.compile(rb'"(?:[^"%b]++|%b[\s\S]|"")*+"|[^"]+' % (mark, mark))
    escaped = re.compile(rb'%b(["%b])' % (mark, mark))
    rest = b""
    for block in blocks:
        rest += block
        at = 0
        while at < len(rest):
            found = field.match(rest, at)
            # What a quote ends at the end of the block may go on: with one more, it was a doubled one.
            if found and (found.end() < len(rest) or rest[at : at + 1] != b'"'):
                yield escaped.sub(_plain, found[0]) if rest[at : at + 1] == b'"' else found[0]
                at = found.end()
            elif len(rest) - at > limit:
                end = rest.find(b"\n", at) + 1 or len(rest)
                yield rest[at:end]
                at = end
            else:
                break
        rest = rest[at:]
    yield escaped.sub(_plain, rest)


def _plain(found: re.Match[bytes]) -> bytes:
    return b'""' if found[1] == b'"' else found[1]
