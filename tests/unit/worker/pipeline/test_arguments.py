"""Every call that transformers' pipeline understood is understood, and gives one result, a list or an iterator."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from worker.pipeline.arguments import read

ONE = ("q", "c")


@pytest.mark.parametrize(
    ("args", "named", "pairs", "kind"),
    [
        ((), {"question": "q", "context": "c"}, [ONE], "one"),
        (("q", "c"), {}, [ONE], "one"),
        (({"question": "q", "context": "c"},), {}, [ONE], "one"),
        (([{"question": "q", "context": "c"}],), {}, [ONE], "one"),
        (([{"question": "q", "context": "c"}] * 2,), {}, [ONE, ONE], "list"),
        (({"question": "q", "context": "c"}, {"question": "q", "context": "c"}), {}, [ONE, ONE], "list"),
        ((), {"question": ["q", "r"], "context": "c"}, [ONE, ("r", "c")], "list"),
        ((), {"question": ["q", "r"], "context": ["c", "d"]}, [ONE, ("r", "d")], "list"),
        ((), {"data": [{"question": "q", "context": "c"}] * 2}, [ONE, ONE], "list"),
        ((), {"X": {"question": "q", "context": "c"}}, [ONE], "one"),
        ((SimpleNamespace(question_text="q", context_text="c"),), {}, [ONE], "one"),
        (([],), {}, [], "list"),
    ],
)
def test_calls(args: tuple[Any, ...], named: dict[str, Any], pairs: list[tuple[str, str]], kind: str) -> None:
    options = named | {"top_k": 2}
    call = read(args, options)
    assert (list(call.pairs), call.kind) == (pairs, kind)
    assert options == {"top_k": 2}


def test_a_generator_is_read_as_it_is_asked() -> None:
    def endless() -> Any:
        while True:
            yield {"question": "q", "context": "c"}

    call = read((endless(),), {})
    assert call.kind == "iterator"
    assert next(iter(call.pairs)) == ONE


@pytest.mark.parametrize(
    ("args", "named", "error"),
    [
        ((), {}, ValueError),
        ((), {"question": "q"}, ValueError),
        ((), {"question": "q", "context": ["c"]}, ValueError),
        ((), {"question": ["q"], "context": ["c", "d"]}, ValueError),
        (({"question": "q"},), {}, KeyError),
        (({"question": "q", "context": None},), {}, ValueError),
        (({"question": "", "context": "c"},), {}, ValueError),
        (({"question": "q", "context": 3},), {}, ValueError),
        (("question alone",), {}, ValueError),
        ((["q", "c"],), {}, ValueError),
        ((3,), {}, ValueError),
    ],
)
def test_what_cannot_be_understood(args: tuple[Any, ...], named: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        read(args, dict(named))
