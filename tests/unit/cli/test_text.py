"""What names and texts from elsewhere do to a terminal: nothing. They come from whoever may upload a file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contract.errors import ACTING, UsageError, printable, printable_json
from contract.format.job import ModelRef
from contract.ledger.reasons import Reason
from contract.notifications.record import Attempt, Notification
from contract.queue import WorkerInfo
from producer.api import display
from producer.cli import bars, messages, tables, view
from producer.jobs.check import Checked
from producer.jobs.logs import Event
from producer.jobs.verify import Verified
from tests.unit.jobs.test_select import ONE

#: Clears the screen, colours, ends a line, reverses it, is an 8-bit CSI, and a byte that is not UTF-8.
HOSTILE = "a\x1b[2J\x1b[31m\nb\u202ec\x9b5m\udce9.csv"
SHOWN = r"a\x1b[2J\x1b[31m\nb\u202ec\x9b5m\xe9.csv"

PROGRESS = replace(
    ONE, status="failed", reason=Reason(HOSTILE, HOSTILE, "Wait."), input={"name": HOSTILE, "bytes": 3},
    metadata={HOSTILE: HOSTILE}, model=ModelRef(HOSTILE, HOSTILE, HOSTILE), top_errors=((HOSTILE, 1),),
    output_uri=HOSTILE, error_uri=HOSTILE,
)  # fmt: skip
PREDICTION = {"row": 0, "status": "answered", "answer": HOSTILE, "question": HOSTILE, "score": 0.5, "start": 0}
CHANGE = {"row": 0, "id": HOSTILE, "question": HOSTILE, "first": PREDICTION, "second": PREDICTION}
CHECKED = Checked(
    HOSTILE, "csv", "|", (HOSTILE,), None, None, 1, 1, 1, 9, "", 1, 1, {"empty_question": 1},
    ({"row": 0, "line": 1, "code": "empty_question", "message": HOSTILE},), files=2, notes=(HOSTILE,),
)  # fmt: skip
WORKER = WorkerInfo(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE, host=HOSTILE, job=HOSTILE, chunk=0, trouble=HOSTILE)
ATTEMPT = {
    "chunk": 0,
    "attempt": 1,
    "end": "died",
    "why": HOSTILE,
    "rows_in_flight": [],
    "started_at": 0,
    "worker": HOSTILE,
}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """All that was printed."""
    consoles = io.StringIO()
    for module, name in ((view, "_stdout"), (view, "stderr"), (bars, "stderr")):
        monkeypatch.setattr(module, name, Console(width=400, file=consoles))
    return lambda: consoles.getvalue() + "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "show",
    [
        lambda: view.show_status(PROGRESS),
        lambda: view.show_jobs([PROGRESS]),
        lambda: view.show_summary(PROGRESS, Path(HOSTILE)),
        lambda: view.show_answers([json.dumps(PREDICTION).encode()], 5),
        lambda: view.show_checked(CHECKED),
        lambda: view.show_verified(Verified("j", 1, 1, 1, (HOSTILE,), True, (HOSTILE,))),
        lambda: view.show_change(CHANGE),
        lambda: tables.show_workers([WORKER]),
        lambda: view.out(tables.event_line(Event(0.0, "attempt", ATTEMPT))),
        lambda: tables.show_notification(Notification("http://x/", "pending", (Attempt(1, 0.0, 0.1, None, HOSTILE),))),
        lambda: messages.warn(f"job j: {UsageError(HOSTILE)}"),
        lambda: bars.follow("j", [replace(PROGRESS, status="queued"), PROGRESS]),
        lambda: print(display.line(replace(PROGRESS, status="queued"))),
    ],
)
def test_a_hostile_text_is_shown_escaped(show: Callable[[], Any], shown: Callable[[], str]) -> None:
    show()
    text = shown()
    assert not re.search(ACTING, text.replace("\n", ""))
    assert not re.search(r"(?m)^b\\u202e", text), "it begins a line"
    assert re.search(r"a\\x1b\[2J", text)


def test_what_acts_is_escaped_and_scripts_are_left_alone() -> None:
    assert printable(HOSTILE) == SHOWN
    for text in ("naïve", "می\u200cم", "👩\u200d👧", "日本語\u3000空白", "a\u00a0b", "नमस्ते", "[red]"):
        assert printable(text) == text


def test_json_keeps_its_values() -> None:
    values = {"name": HOSTILE, "tag": "\U000e0041", "plain": "é\n日"}
    document = printable_json(json.dumps(values, ensure_ascii=False, indent=1))
    assert json.loads(document) == values
    assert not re.search(ACTING, document.replace("\n", ""))
    document.encode()


def test_the_text_of_an_error_is_for_a_terminal_and_its_message_is_as_it_was() -> None:
    error = UsageError(HOSTILE, "two\nlines")
    assert (str(error), error.message) == (f"{SHOWN}\n  two\nlines", HOSTILE)
