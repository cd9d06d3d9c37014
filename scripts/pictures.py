"""Takes the pictures of the page in docs/, with a server, jobs and verdicts of its own.

`python scripts/pictures.py` (`make pictures`), after a change of the page. Needs Chromium and the extra e2e. Look at
the pictures before you commit them.
"""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

from bulkqa import Client

REPO = Path(__file__).resolve().parents[1]
DOCS, SAMPLES = REPO / "docs", REPO / "samples"
#: Answers of the sample that are judged, of all 160.
JUDGED = 117

PLACES = (
    ("Kvalnes", "1874", "Ingrid Aas", "31", "rapeseed oil", "1931", "the fishermen", "slate"),
    ("Borg", "1802", "Olav Dahl", "18", "coal", "1926", "the merchants", "granite"),
    ("Lindvik", "1839", "Marta Holm", "24", "whale oil", "1938", "the pilots", "brick"),
    ("Skarholm", "1791", "Erik Lund", "15", "peat", "1919", "the monks", "oak"),
    ("Hallen", "1856", "Anna Berg", "27", "paraffin", "1942", "the farmers", "limestone"),
)
CONTEXTS = (
    ("The lighthouse at {0} was built in {1} by {6} of the village. It is {3} metres high, and its lamp burned {4} "
     "until {5}, when electricity came to the island. {2}, the last keeper, left it in 1986. Since then a sensor "
     "switches the light on at dusk."),
    ("On the hill above {0} stands a tower of {7}, {3} metres high, which {6} paid for in {1}. Its lamp was fed with "
     "{4} until the power line reached the coast in {5}. The keeper who stayed longest, {2}, raised three children."),
    ("{2} kept the light of {0} for thirty years. The tower, of {7} and {3} metres high, had replaced a wooden one in "
     "{1}; {6} had carried the stones up by hand. Before {5} the lamp burned {4}, of which a barrel lasted a week."),
    ("Few towers on this coast are as old as the one at {0}: {6} finished it in {1}. Visitors climb its {3} metres for "
     "the view. Until {5} it burned {4}, brought by boat. {2} was its last keeper; her house of {7} is a museum."),
)  # fmt: skip
QUESTIONS = (
    ("When was the tower at {0} built?", 1),
    ("Who was the last keeper?", 2),
    ("How high is it?", 3),
    ("What did the lamp burn?", 4),
    ("Until when did the lamp burn {4}?", 5),
    ("Who built it?", 6),
    ("What is it made of?", 7),
    ("Where is it?", 0),
)
PASSAGES = (
    ("mill", "When was the mill built?", "The mill at Aker was built in 1731 from oak, and rebuilt after the flood."),
    ("light", "Who keeps the light?", "Ingrid Aas has kept the light since 1986."),
    ("ferry", "How often does the ferry run?", "The ferry to Hallen runs every forty minutes."),
    ("mill", "When was the mill built?", "The mill at Borg grinds rye and barley for the whole valley."),
    ("light", "Who keeps the light?", "The light was built from granite in 1874."),
    ("ferry", "How often does the ferry run?", "Tickets for the ferry are sold on board."),
    ("mill", "When was the mill built?", "A mill needs a stream that does not freeze."),
    ("light", "Who keeps the light?", "The lamp burned rapeseed oil until 1911."),
    ("ferry", "How often does the ferry run?", "The ferry carries ninety passengers and twelve cars."),
)


def places() -> list[dict[str, str]]:
    """Questions about lighthouses, each with the words that would be right."""
    return [
        {"question": question.format(*place), "context": context.format(*place), "right": place[at]}
        for place in PLACES
        for context in CONTEXTS
        for question, at in QUESTIONS
    ]


def written(path: Path, rows: Iterable[dict[str, str]]) -> str:
    """The path of a CSV file with these questions and contexts."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ("question", "context"), delimiter="|", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    return str(path)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server with a worker, and the address of its page."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [Path(sys.executable).with_name("producer"), "serve", "--local", "--port", str(port)]
    server = subprocess.Popen(command, env=os.environ | {"BULKQA_STORAGE_URL": str(folder / "jobs")})
    try:
        while not _is_ready(url):
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait()


def _is_ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/readyz").json().get("workers"))
    except httpx.TransportError:
        return False


def judged_job(client: Client, folder: Path) -> str:
    """A job with a name, most of whose sample is judged."""
    rows = places()
    job = client.submit(written(folder / "places.csv", rows), metadata={"name": "Places of the region"})
    job.wait()
    sample = job.sample(rows=len(rows), precision=0.85)
    for each in sample.head(JUDGED).itertuples():
        sample.loc[each.Index, "verdict"] = "right" if rows[each.row]["right"] in each.answer else "wrong"
    job.judge(sample, by="ann")
    return job.id


def take(page: Any, url: str, view: str, name: str, ready: str) -> None:
    """A picture of a view, once a text is on it."""
    page.goto(f"{url}/#/{view}")
    page.reload()
    page.get_by_text(ready).first.wait_for()
    page.wait_for_timeout(1000)  # for what the page loads after that
    page.screenshot(path=DOCS / name)


def main() -> None:
    """Take all pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(serving(folder))
        client = stack.enter_context(Client(server=url))
        chrome = stack.enter_context(sync_playwright()).chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def new_page(width: int, height: int, **settings: Any) -> Any:
            viewport = {"width": width, "height": height}
            return chrome.new_context(viewport=viewport, locale="en-GB", **settings).new_page()

        review(client, folder, url, new_page)
        groups_and_documents(client, url, new_page)
        list_of_jobs(client, folder, url, new_page)


def review(client: Client, folder: Path, url: str, new_page: Callable[..., Any]) -> None:
    """A job with verdicts, and its review on a screen and on a phone in the dark."""
    job = judged_job(client, folder)
    page = new_page(1000, 1180)
    page.goto(url)
    page.evaluate("localStorage.setItem('precision', '0.85')")
    take(page, url, f"jobs/{job}", "page-job.png", "a click on a bar")
    take(new_page(1000, 760), url, f"jobs/{job}/review", "page-review.png", "judged")
    phone = new_page(390, 760, device_scale_factor=1.5, color_scheme="dark", has_touch=True, is_mobile=True)
    take(phone, url, f"jobs/{job}/review", "page-review-phone.png", "judged")


def groups_and_documents(client: Client, url: str, new_page: Callable[..., Any]) -> None:
    """A group that is open, and a document with its answers."""
    passages = [dict(zip(("asked", "question", "context"), row, strict=True)) for row in PASSAGES]
    groups = client.submit(passages, group_by="asked", no_answer_threshold=0)
    groups.wait()
    page = new_page(1200, 900)
    page.goto(f"{url}/#/jobs/{groups.id}?by=group")
    page.get_by_text("3 passages").first.click()
    page.get_by_text("chosen").wait_for()
    page.screenshot(path=DOCS / "page-groups.png")
    documents, questions = str(SAMPLES / "contracts"), str(SAMPLES / "contract-questions.csv")
    contracts = client.submit(documents=documents, questions=questions, no_answer_threshold=0)
    contracts.wait()
    take(new_page(1200, 800), url, f"jobs/{contracts.id}/documents/0", "page-document.png", "900 euros")


def list_of_jobs(client: Client, folder: Path, url: str, new_page: Callable[..., Any]) -> None:
    """The jobs, of which one is running."""
    for name in ("questions.csv", "bad_rows.csv"):
        client.submit(str(SAMPLES / name)).wait()
    rows = places()
    many = (row | {"context": f"{row['context']} ({number})"} for number in range(125) for row in rows)
    running = client.submit(written(folder / "museums.csv", many))
    while running.status().progress < 0.02:
        time.sleep(0.5)
    take(new_page(1000, 560), url, "", "page-jobs.png", " left")
    running.cancel()


if __name__ == "__main__":
    main()
