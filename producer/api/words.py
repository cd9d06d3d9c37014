"""Errors in the words of the Python API: what the command calls `--top-k 3` is `top_k=3` here.

Everything below says what to do in terms of the command. This turns it into what one writes in Python, and takes care
that nothing but `contract.errors` comes out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from contract.errors import BulkqaError, StorageUnreachable

#: A command of the worker, which stays one, or a flag and its value, if it has any.
_FLAG = re.compile(
    r"worker [a-z]+(?: --?[a-z-]+| [A-Z]+)*"
    r"|(?<![\w-])--([a-z][a-z-]*[a-z])(?:[ =]((?!(?:or|and|is|to|for|with|has|says)\b)(?:'[^']*'|[^\s,;]*[^\s,;.:)])))?"
)
#: Before and after what was a flag with a value, while it is looked for others beside it.
_MARK = "\0"
_NAMES = {"input-format": "format", "model-dir": "model"}
_COMMANDS = {
    "List the jobs with: producer list": "Client.jobs() lists them.",
    r"producer repair (\S+?)\b(?=[.\s]|$)": r"Client.job('\1').wait()",
    r"producer results (?:JOB|\S+) -o \.\.\.": "Job.predictions()",
    r"producer delete (\S+?) --cancel": r"Client.job('\1').delete(cancel=True)",
}


def in_api_words(text: str) -> str:
    """A message or remedy as one who writes Python reads it."""
    for command, call in _COMMANDS.items():
        text = re.sub(command, call, text)
    return _FLAG.sub(_keyword, text).replace(f"{_MARK} {_MARK}", ", ").replace(_MARK, "")


def _keyword(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    if match[1] == "no-header":
        return "header=False"
    name = _NAMES.get(match[1], match[1].replace("-", "_"))
    if match[2] is None:
        return name
    value = match[2]
    quoted = value.startswith("'") or value == "None" or re.fullmatch(r"-?[\d.]+", value)
    return f"{_MARK}{name}={value if quoted else repr(value)}{_MARK}"


@contextmanager
def api_words() -> Iterator[None]:
    """Around what a method of the API does: its errors are of `contract.errors`, and say what to write in Python."""
    try:
        yield
    except BulkqaError as error:
        error.message = in_api_words(error.message)
        error.remedy = error.remedy and in_api_words(error.remedy)
        error.args = (error.message,)
        raise
    except OSError as error:
        raise StorageUnreachable(f"the storage does not do what it is asked for: {error}") from error
