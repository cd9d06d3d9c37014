"""The page in a real browser, on real jobs of real workers: headless Chromium, driven by Playwright."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest

from tests.acceptance.cluster import REPO, Cluster, write_rows, year
from tests.acceptance.serving import serving
from tests.documents.small import contracts, pdf

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: extra [e2e]")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: extra [e2e]")

_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync")  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as runs:
        made = runs.chromium.launch(executable_path=path, args=_QUIET)
        yield made
        made.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails its test where a script of it does."""
    context = browser.new_context(accept_downloads=True, locale="en-GB")
    made = context.new_page()
    made.set_default_timeout(30_000)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    yield made
    context.close()
    assert errors == []


@pytest.fixture
def client(server: httpx.Client) -> httpx.Client:
    """Its jobs are those of all tests: a page that shows none is that of `test_a_token_is_asked_for_by_a_form`."""
    return server


def accessible(page: Any) -> None:
    violations = axe.Axe().run(page).response["violations"]
    assert [(violation["id"], violation["nodes"][0]["html"]) for violation in violations] == []


def broken_words(page: Any) -> list[str]:
    """Words of the tables that are on more than one line."""
    return page.evaluate("""() => [...document.querySelectorAll("td .state, td .dim, th")].flatMap((node) =>
        [...node.childNodes].filter((text) => text.nodeType === 3).flatMap((text) =>
            [...text.data.matchAll(/\\w+/g)].filter((word) => {
                const range = document.createRange();
                range.setStart(text, word.index);
                range.setEnd(text, word.index + word[0].length);
                return range.getClientRects().length > 1;
            }).map(String)))""")


def test_a_file_is_dropped_looked_at_and_answered(page: Any, client: httpx.Client):
    page.goto(str(client.base_url))
    page.get_by_role("heading", name="Jobs").wait_for()
    page.set_input_files("#file", REPO / "samples" / "questions.csv")
    page.get_by_text("The first rows, read as csv").wait_for()
    page.get_by_text(re.compile(r"^\d+ rows, .*; takes .* on 1 worker")).wait_for()
    accessible(page)
    page.get_by_role("button", name="Submit").click()
    page.locator("dd .completed").wait_for()
    first = page.locator(".answers > li").first
    first.get_by_text("lighthouse-1").wait_for()
    assert first.locator("mark").inner_text() == "1874"
    accessible(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert "row 1 " in page.evaluate("document.activeElement.textContent")
    with page.expect_download() as download:
        page.get_by_role("link", name="Answers as json").click()
    answers = json.loads(Path(download.value.path()).read_text())["predictions"]
    assert answers[0]["answer"] == "1874"


def test_a_long_context_comes_cut_and_whole_when_it_is_asked_for(page: Any, client: httpx.Client, tmp_path: Path):
    before, after = "The mill stands by the river. 😀 " * 40, " Nobody lives there now." * 40
    context = f"{before}The bell of the chapel was cast by Jon Berg.{after}"
    (tmp_path / "long.csv").write_text(f"question|context\nWho cast the bell?|{context}\n")
    page.goto(str(client.base_url))
    page.set_input_files("#file", tmp_path / "long.csv")
    page.get_by_text("The first rows, read as csv").wait_for()
    page.get_by_role("button", name="Submit").click()
    page.locator("dd .completed").wait_for()
    shown = page.locator(".answers p.context")
    assert shown.locator("mark").inner_text() == "Jon Berg"
    assert len(shown.inner_text()) < 600
    page.get_by_role("button", name="Whole context").click()
    page.get_by_role("button", name="Less").wait_for()
    assert shown.inner_text() == context
    assert shown.locator("mark").inner_text() == "Jon Berg"
    accessible(page)


def test_documents_are_dropped_asked_and_read_with_their_answers_marked(
    page: Any, client: httpx.Client, tmp_path: Path
):
    (tmp_path / "mill.pdf").write_bytes(pdf("Prices & terms.", "The mill was built in 1874 by Otto Krage."))
    (tmp_path / "ferry.txt").write_text("😀 The ferry was built in 1931. It is <b>red</b>.")
    (tmp_path / "scan.pdf").write_bytes(pdf(""))
    page.goto(str(client.base_url))
    page.set_input_files("#file", sorted(tmp_path.iterdir()))
    page.get_by_text("3 documents", exact=True).wait_for()
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_text("Type a question first").wait_for()
    page.get_by_label("Questions", exact=True).fill("When was it built?\nWho built it?")
    page.get_by_label("Name").fill("The works")
    accessible(page)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator("dd .completed_with_errors").wait_for()
    page.get_by_role("heading", name="The works").wait_for()
    listed = page.locator("ol.documents > li")
    listed.nth(2).wait_for()
    assert [line.partition(" ")[0] for line in listed.all_inner_texts()] == ["ferry.txt", "mill.pdf", "scan.pdf"]
    assert "no text" in listed.nth(2).inner_text()
    accessible(page)

    page.get_by_role("link", name="mill.pdf").click()
    page.get_by_role("heading", name="mill.pdf").wait_for()
    text = page.get_by_role("region", name="Text")
    assert "The mill was built in 1874" in text.inner_text()
    assert "1874" in text.locator("mark").all_inner_texts()
    page.get_by_text("page 2").first.wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert "Who built it?" in page.evaluate("document.activeElement.textContent")
    accessible(page)
    page.get_by_role("link", name="Previous document").click()
    page.get_by_role("heading", name="ferry.txt").wait_for()
    assert "1931" in page.get_by_role("region", name="Text").locator("mark").all_inner_texts(), "behind an emoji"

    page.get_by_role("link", name="in all documents").first.click()
    page.get_by_text("Only When was it built?").wait_for()
    rows = page.locator(".answers > li")
    assert rows.count() == 3
    assert [row.locator("mark").inner_text() for row in rows.all()[:2]] == ["1931", "1874"]
    accessible(page)


def test_twenty_documents_five_of_them_broken_have_the_answers_that_the_command_gives(
    page: Any, client: httpx.Client, everybodys: Cluster, tmp_path: Path
):
    folder = contracts(tmp_path / "contracts")
    questions = ["When was it built?", "Who was it sold to?"]
    with everybodys.client() as direct:
        job = direct.submit(documents=folder, questions=questions)
        job.wait(timeout=120)
        expected = job.predictions()
    page.goto(str(client.base_url))
    page.set_input_files("#file", sorted(folder.iterdir()))
    page.get_by_label("Questions", exact=True).fill("\n".join(questions))
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator("dd .completed_with_errors").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Answers as json").click()
    found = json.loads(Path(download.value.path()).read_text())["predictions"]
    assert len(found) == 40
    assert [each["answer"] for each in found[:30:2]] == [str(1800 + number) for number in range(15)]
    assert found == expected


def test_columns_of_other_names_are_a_choice(page: Any, client: httpx.Client, tmp_path: Path):
    """And the delimiter with which they are columns is found."""
    (tmp_path / "other.csv").write_text("q;c;more\nwhat is it?;a mill;x\n")
    page.goto(str(client.base_url))
    page.set_input_files("#file", tmp_path / "other.csv")
    page.get_by_text("there is no column 'question'").wait_for()
    assert page.get_by_label("Delimiter").input_value() == ";"
    assert page.get_by_role("button", name="Submit").is_disabled(), "nothing is chosen yet"
    page.get_by_label("Question", exact=True).select_option("q")
    page.get_by_label("Context", exact=True).select_option("c")
    page.get_by_text("The first rows, read as csv").wait_for()
    page.get_by_role("cell", name="what is it?").wait_for()
    page.get_by_role("cell", name="x", exact=True).wait_for()
    page.get_by_text("1 row, 3 columns, read as csv").wait_for()
    accessible(page)
    page.get_by_role("button", name="Submit").click()
    page.locator("dd .completed").wait_for()


def test_a_remedy_is_a_button_that_fills_in_its_field(page: Any, client: httpx.Client, tmp_path: Path):
    text = "question|context\nWho cast the bell?|The bell of the chapel was cast by Jon Berg in 1790.\n"
    (tmp_path / "wide.csv").write_bytes(text.encode("utf-16"))
    page.goto(str(client.base_url))
    page.set_input_files("#file", tmp_path / "wide.csv")
    remedy = page.get_by_role("button", name="Set encoding to UTF-16")
    remedy.wait_for()
    accessible(page)
    remedy.click()
    encoding = page.get_by_label("Encoding")
    assert encoding.input_value() == "UTF-16"
    assert encoding.evaluate("field => field === document.activeElement")
    page.get_by_text("The first rows, read as csv").wait_for()
    accessible(page)
    page.get_by_role("button", name="Submit").click()
    page.locator("dd .completed").wait_for()
    assert page.locator("mark").inner_text() == "Jon Berg"


def test_every_option_of_the_schema_is_a_field(page: Any, client: httpx.Client):
    schema = client.get("/openapi.json").json()["components"]["schemas"]["Submission"]["properties"]
    page.goto(str(client.base_url))
    page.set_input_files("#file", REPO / "samples" / "questions.csv")
    page.get_by_text("The first rows, read as csv").wait_for()
    page.get_by_text("Options").click()
    for name, option in schema.items():
        field = page.get_by_label(name.capitalize().replace("_", " "), exact=True)
        assert field.is_visible() is (name != "sheet"), f"{name}: only a workbook has sheets"
        about = page.locator(f"#{field.get_attribute('aria-describedby')}")
        assert about.text_content() == option["description"]
    assert page.get_by_label("Top k").get_attribute("min") == "1"
    assert page.get_by_label("Format").locator("option").all_inner_texts() == [
        "default",
        "csv",
        "parquet",
        "jsonl",
        "json",
    ]
    page.get_by_label("Top k").fill("2")
    page.get_by_label("Omit context").check()
    page.get_by_label("Metadata").fill('{"of": "every option"}')
    page.get_by_role("button", name="Submit").click()
    page.locator("dd .completed").wait_for()
    (job,) = client.get("/v1/jobs", params={"metadata": "of=every option"}).json()["jobs"]
    assert (job["options"]["top_k"], job["options"]["omit_context"], job["options"]["n_best"]) == (2, True, 20)


def test_a_sheet_is_chosen_and_a_job_has_a_name(page: Any, client: httpx.Client, tmp_path: Path):
    book = openpyxl.Workbook()
    book.active.append(["question", "context"])
    book.active.append(["Who cast the bell?", "The bell was cast by Jon Berg in 1790."])
    other = book.create_sheet("More rows")
    other.append(["question", "context"])
    for number in range(3):
        other.append([f"Who cast bell {number}?", f"Bell {number} was cast by Ada Holm in 1790."])
    book.save(tmp_path / "bells.xlsx")
    page.goto(str(client.base_url))
    page.set_input_files("#file", tmp_path / "bells.xlsx")
    page.get_by_text("1 row, 2 columns, read as xlsx").wait_for()
    assert [page.get_by_label(name, exact=True).count() for name in ("Delimiter", "Encoding", "Header")] == [1, 1, 1]
    assert not page.get_by_label("Delimiter", exact=True).is_visible()
    assert not page.get_by_label("Encoding", exact=True).is_visible()
    page.get_by_label("Sheet").select_option("More rows")
    page.get_by_text("3 rows, 2 columns, read as xlsx").wait_for()
    page.get_by_label("Name").fill("bells of spring")
    page.get_by_role("button", name="Submit").click()
    page.locator("dd .completed").wait_for()
    assert page.locator("mark").all_inner_texts() == ["Ada Holm"] * 3
    page.goto(f"{client.base_url}/#/")
    page.get_by_text("bells of spring").wait_for()


def test_submit_waits_for_the_check_of_what_was_changed(page: Any, client: httpx.Client, tmp_path: Path):
    """A click right after a change that cannot be read makes no job."""
    (tmp_path / "rows.csv").write_text("question|context\nWho?|Jon Berg.\n")
    page.goto(str(client.base_url))
    page.set_input_files("#file", tmp_path / "rows.csv")
    submit = page.get_by_role("button", name="Submit")
    assert submit.is_disabled()
    page.get_by_text("Reading rows.csv").wait_for()
    page.get_by_text("The first rows, read as csv").wait_for()
    page.get_by_label("Encoding").fill("no-such")
    submit.click()
    page.get_by_text("unknown encoding 'no-such'").wait_for()
    assert submit.is_disabled()
    page.get_by_label("Encoding").fill("ascii")
    page.get_by_label("Name").click()
    page.get_by_text("1 row, 2 columns").wait_for()
    submit.click()
    page.locator("dd .completed").wait_for()


def test_a_file_that_cannot_be_read_says_why(page: Any, client: httpx.Client, tmp_path: Path):
    (tmp_path / "empty.csv").write_text("question|context\n")
    page.goto(str(client.base_url))
    page.set_input_files("#file", tmp_path / "empty.csv")
    page.get_by_text("a header and no rows").wait_for()


def test_rows_are_filtered_paged_and_shared_by_their_address(
    page: Any, client: httpx.Client, shared: Cluster, tmp_path: Path
):
    job = shared.submit(write_rows(tmp_path / "rows.csv", 60))
    shared.finish(job)
    page.goto(f"{client.base_url}/#/jobs/{job}")
    assert page.locator(".answers > li").nth(24).inner_text().startswith("row 24 ")
    page.get_by_role("link", name="Next rows").click()
    page.get_by_text(re.compile("^row 25 ")).wait_for()
    page.get_by_role("link", name="Previous rows").click()
    page.get_by_text(re.compile("^row 0 ")).wait_for()
    assert page.locator(".answers dl").nth(7).inner_text().split() == ["year", str(year(7))], "its own columns"
    page.get_by_label("Text").fill("number 17 ")
    page.get_by_role("button", name="Show").click()
    page.get_by_text(re.compile("^row 17 ")).wait_for()
    assert page.locator(".answers > li").count() == 1
    page.get_by_label("Order").select_option(label="lowest score first")
    page.get_by_label("Text").fill("")
    page.get_by_role("button", name="Show").click()
    page.locator(".answers > li").nth(24).wait_for()
    scores = [
        float(text.split()[1]) for text in page.locator(".head").get_by_text(re.compile(r"^score \d")).all_inner_texts()
    ]
    assert len(scores) == 25
    assert scores == sorted(scores)
    page.get_by_role("group", name=re.compile("^Scores: .* of 60 answers")).wait_for()
    page.get_by_text("lowest score first").wait_for(state="attached")
    page.go_back()
    page.get_by_text(re.compile("^row 17 ")).wait_for()
    page.get_by_text("1 of 60 rows match.").wait_for()
    page.goto("about:blank")
    page.go_back()
    page.get_by_text(re.compile("^row 17 ")).wait_for()


def test_rows_are_chosen_by_flag_or_bar_and_exported(page: Any, client: httpx.Client, shared: Cluster, tmp_path: Path):
    file = write_rows(tmp_path / "rows.csv", 40, padding=2)
    padded = f"{'very ' * 80}long: when was the mill founded?"
    file.write_text(file.read_text() + f"r40|{padded}|The mill of Überlingen was founded in 1532.|1532\n")
    job = shared.submit(file)
    shared.finish(job)
    page.goto(f"{client.base_url}/#/jobs/{job}")
    page.get_by_label("Flag").select_option(label="question truncated (1)")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("1 of 41 rows match.").wait_for()
    assert page.locator(".answers > li").count() == 1
    accessible(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Matching answers as csv").click()
    table = Path(download.value.path()).read_bytes()
    assert table.startswith(b"\xef\xbb\xbf"), "by which Excel knows UTF-8"
    assert "Überlingen" in table.decode()
    assert table.count(b"\n") == 2
    page.goto(f"{client.base_url}/#/jobs/{job}")
    bar = page.locator("figure a").last
    number = sum(int(text) for text in re.findall(r"(\d+) (?:answered|without)", bar.get_attribute("aria-label")))
    bar.click()
    page.get_by_text(f"{number} of 41 rows match.").wait_for()
    assert float(page.get_by_label("Score from").input_value()) > 0


def test_two_jobs_are_compared_and_corrections_lead_to_their_job(
    page: Any, client: httpx.Client, shared: Cluster, tmp_path: Path
):
    file = write_rows(tmp_path / "rows.csv", 4)
    file.write_text(file.read_text() + "r4||Nothing was asked about the mill of 1532.|1532\n")
    first, second = (
        shared.submit(file, max_answer_len=length, metadata={"name": f"at most {length}"}) for length in (9, 1)
    )
    for job in (first, second):
        shared.finish(job)
    page.goto(f"{client.base_url}/#/jobs/{first}")
    page.get_by_role("heading", name="at most 9").wait_for()
    page.get_by_label("Compare with").select_option(second)
    page.get_by_text(re.compile(r"^\d same|^\d changed|^5 ")).wait_for()
    page.get_by_role("link", name=second).wait_for()
    accessible(page)
    page.go_back()
    with page.expect_download() as download:
        page.get_by_role("link", name="Failed rows").click()
    mended = tmp_path / download.value.suggested_filename
    text = Path(download.value.path()).read_text()
    mended.write_text(text.replace("|r4||", "|r4|When?|").replace("r4||Nothing", "r4|When?|Nothing"))
    page.goto(f"{client.base_url}/#/")
    page.set_input_files("#file", mended)
    page.get_by_text("1 row, ").wait_for()
    page.get_by_role("button", name="Submit").click()
    page.locator("dd .completed").wait_for()
    page.get_by_role("link", name=first).click()
    page.get_by_text("Corrected in").wait_for()
    (named,) = client.get("/v1/jobs", params={"metadata": f"errors_of={first}"}).json()["jobs"]
    assert named["input"]["name"] == f"{first}.errors.csv"


def test_a_question_is_tried(page: Any, client: httpx.Client):
    page.goto(f"{client.base_url}/#/try")
    page.get_by_label("Question").fill("Who cast the bell?")
    page.get_by_label("Context").fill("The bell of 🔔 the chapel was cast by Jon Berg in 1790.")
    page.get_by_role("button", name="Answer").click()
    assert page.locator("mark").inner_text() == "Jon Berg"
    accessible(page)


def test_nothing_of_a_job_is_read_as_html(page: Any, client: httpx.Client, shared: Cluster, tmp_path: Path):
    bad = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    (tmp_path / "rows.csv").write_text(f"id|question|context\n{bad}|{bad}?|{bad} It was 1874.\n")
    job = shared.submit(tmp_path / "rows.csv")
    shared.finish(job)
    page.on("dialog", lambda dialog: pytest.fail(f"a script of a job ran: {dialog.message}"))
    page.goto(f"{client.base_url}/#/jobs/{job}")
    page.get_by_text("<img src=x").first.wait_for()
    assert page.locator("main img, main script").count() == 0


def test_a_phone_and_the_dark_have_it_too(browser: Any, client: httpx.Client, shared: Cluster):
    job = shared.submit(REPO / "samples" / "bad_rows.csv")
    shared.finish(job)
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    for view in ("", f"#/jobs/{job}", "#/try"):
        page.goto(f"{client.base_url}/{view}")
        page.locator("h1").wait_for()
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        assert broken_words(page) == [], view
    page.goto(str(client.base_url))
    page.set_input_files("#file", REPO / "samples" / "questions.csv")
    page.get_by_text("The first rows, read as csv").wait_for()
    page.get_by_text("Options").click()
    page.get_by_label("Encoding").wait_for()
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_a_server_that_is_away_is_said_and_comes_back(page: Any, client: httpx.Client):
    page.goto(str(client.base_url))
    page.get_by_role("heading", name="Jobs").wait_for()
    page.context.set_offline(True)
    page.get_by_text("The server does not answer").wait_for()
    page.context.set_offline(False)
    page.locator("#trouble").wait_for(state="hidden")


@contextmanager
def below(path: str, server: httpx.Client) -> Iterator[str]:
    """A proxy that has the server answer below a path, which it takes off, as nginx does with a slash at the end of
    proxy_pass. Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(path):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = server.request(self.command, f"/{self.path.removeprefix(path)}", content=body,
                                    headers=dict(self.headers) | {"Accept-Encoding": "identity"})  # fmt: skip
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}{path}"
        finally:
            proxy.shutdown()
            thread.join()


def test_the_page_works_below_a_path_of_a_proxy(browser: Any, running: Cluster):
    token = os.urandom(16).hex()
    with serving(running, BULKQA_API_TOKEN=token) as client, below("/qa/", client) as url:
        rows = write_rows(running.folder / "rows.csv", 3)
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Token of this server").fill(token)
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("No job yet").wait_for()
        assert page.url == url
        with httpx.Client(timeout=60) as api:
            url_of_jobs, headers = f"{url}v1/jobs", {"Authorization": f"Bearer {token}"}
            job = api.post(url_of_jobs, headers=headers, files={"file": rows.read_bytes()}).json()["id"]
        page.goto(f"{url}#/jobs/{job}")
        page.get_by_role("button", name="Pause").click()
        page.locator("dd .paused").wait_for()
        page.get_by_role("button", name="Resume").click()
        page.locator("dd .queued").wait_for()
        page.get_by_role("button", name="Cancel").click()
        with page.expect_download() as download:
            page.get_by_text("Answers as csv").click()
        assert Path(download.value.path()).read_text("utf-8-sig").count("\n") == 4
        page.get_by_role("button", name="Retry failed rows").click()
        page.get_by_role("button", name="Cancel").wait_for()
        assert re.search(r"[0-9a-f]{8}$", page.url), page.url
        assert not page.url.endswith(job), "another job"
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Token of this server").wait_for()
        assert page.url == f"{url}login"
        context.close()


def test_a_token_is_asked_for_by_a_form(browser: Any, running: Cluster):
    token = os.urandom(16).hex()
    with serving(running, BULKQA_API_TOKEN=token) as client:
        context = browser.new_context()
        page = context.new_page()
        page.goto(str(client.base_url))
        page.get_by_label("Token of this server").fill("another")
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("That is not a token of this server").wait_for()
        accessible(page)
        page.get_by_label("Token of this server").fill(token)
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("No job yet").wait_for()
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Token of this server").wait_for()
        page.goto(f"{client.base_url}/#/try")
        page.goto(str(client.base_url))
        page.get_by_label("Token of this server").wait_for()
        context.close()


def test_a_group_opens_into_its_passages_and_the_chosen_one_is_marked(
    page: Any, client: httpx.Client, shared: Cluster
) -> None:
    rows = [
        ("mill", "The church is white."),
        ("light", "Ingrid Aas keeps the light."),
        ("mill", "It was built in 1731."),
    ]
    asked = {"mill": "When was the mill built?", "light": "Who keeps the light?"}
    text = "".join(f"{asked[name]}|{context}|{name}\n" for name, context in rows)
    (shared.folder / "in.csv").write_text(f"question|context|about\n{text}")
    job = shared.producer("submit", "in.csv", "--wait", "--group-by", "about").stdout.strip()
    page.goto(f"{client.base_url}#/jobs/{job}")
    page.get_by_text("2: 2 answered, 0 without an answer").wait_for()
    page.get_by_role("link", name="Groups", exact=True).click()
    first = page.locator(".answers > li").first
    first.get_by_text("group mill").wait_for()
    assert first.locator("strong").inner_text() == "1731"
    first.get_by_text("2 passages").click()
    chosen = first.locator("li.chosen")
    chosen.wait_for()
    assert [chosen.count(), first.locator("li").count()] == [1, 2]
    assert "row 2" in chosen.inner_text()
    assert chosen.locator("mark").inner_text() == "1731"
    accessible(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Groups as json").click()
    groups = json.loads(Path(download.value.path()).read_text())["groups"]
    assert [group["answer"] for group in groups] == ["1731", "Ingrid Aas"]


def judge(page: Any, key: str) -> str:
    """Press a key of the review and await the next row; the question that was judged."""
    question = page.locator(".card .question").inner_text()
    page.keyboard.press(key)
    page.wait_for_function("q => document.querySelector('.card .question')?.textContent !== q", arg=question)
    return question


def await_stored(page: Any, count: int, of: int) -> None:
    page.get_by_text(re.compile(rf"^{count} of {of} judged$")).wait_for()


def place_of(page: Any, words: str) -> tuple[float, float, float]:
    """Where in the text of a review these words are: left, right, and the middle of their height."""
    return page.evaluate(
        """words => {
        const nodes = document.createTreeWalker(document.querySelector(".card .text"), NodeFilter.SHOW_TEXT);
        while (nodes.nextNode()) {
            const at = nodes.currentNode.data.indexOf(words);
            if (at >= 0) {
                const range = document.createRange();
                range.setStart(nodes.currentNode, at);
                range.setEnd(nodes.currentNode, at + words.length);
                const { left, right, top, height } = range.getBoundingClientRect();
                return [left, right, top + height / 2];
            }
        }
    }""",
        words,
    )


def test_sixty_rows_are_judged_by_keys_alone_and_none_is_lost_by_a_reload(
    page: Any, client: httpx.Client, shared: Cluster, tmp_path: Path
):
    job = shared.submit(write_rows(tmp_path / "rows.csv", 80))
    shared.finish(job)
    page.goto(f"{client.base_url}/#/jobs/{job}")
    page.get_by_text("Nothing is promised yet").wait_for()
    page.get_by_role("link", name="Review").click()
    page.get_by_text("0 of 80 judged").wait_for()
    accessible(page)
    pressed = dict.fromkeys(judge(page, key) for key in "yn" * 3 + "y" * 24)
    page.reload()  # whatever is on its way
    page.locator(".card .question").wait_for()
    await_stored(page, 30, 80)
    assert page.locator(".card .question").inner_text() not in pressed, "it goes on where it was"
    pressed |= dict.fromkeys(judge(page, key) for key in "s0" + "y" * 28)
    await_stored(page, 60, 80)
    verdicts = client.get(f"/v1/jobs/{job}/verdicts").json()["verdicts"]
    assert [verdict["verdict"] for verdict in verdicts].count("right") == 55
    drawn = client.get(f"/v1/jobs/{job}/sample").json()
    assert [verdict["row"] for verdict in verdicts] == drawn["rows"][:60]
    assert len(pressed) == 60
    assert {verdict["floor"] for verdict in verdicts} == {drawn["floor"]}
    trust = client.get(f"/v1/jobs/{job}/trust").json()
    assert (trust["labels"], trust["wrong"], trust["skipped"]) == (60, 5, 1)
    page.get_by_text(
        re.compile(rf"60 verdicts, 5 wrong \(1 of them skipped\).*next look is at {trust['next_look']}")
    ).wait_for()

    last = list(pressed)[-1]
    page.keyboard.press("u")
    page.locator(".card .question").get_by_text(last, exact=True).wait_for()
    await_stored(page, 59, 80)
    page.reload()
    page.locator(".card .question").get_by_text(last, exact=True).wait_for()


def test_judgements_wait_in_the_browser_until_the_server_is_back(
    page: Any, client: httpx.Client, shared: Cluster, tmp_path: Path
):
    job = shared.submit(write_rows(tmp_path / "rows.csv", 3))
    shared.finish(job)
    page.goto(f"{client.base_url}/#/jobs/{job}/review")
    page.locator(".card .question").wait_for()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Note").fill("of the second mill")
    page.get_by_label("Note").press("Tab")
    page.locator(".card .text").focus()
    page.context.set_offline(True)
    page.keyboard.press("y")
    page.get_by_text("Verdicts waiting in this browser: 1.").wait_for()
    page.get_by_text("0 of 3 judged, 1 not stored yet").wait_for()
    assert client.get(f"/v1/jobs/{job}/verdicts").json()["verdicts"] == []
    page.context.set_offline(False)
    page.get_by_text(re.compile("^1 of 3 judged$")).wait_for()
    (verdict,) = client.get(f"/v1/jobs/{job}/verdicts").json()["verdicts"]
    assert (verdict["verdict"], verdict["by"], verdict["note"]) == ("right", "Ada", "of the second mill")


def test_right_words_are_dragged_over_with_a_mouse_or_a_finger(
    browser: Any, client: httpx.Client, shared: Cluster, tmp_path: Path
):
    context = "😀 The mill was built in 1874 by Otto Krage. It was sold to the town in 1931."
    (tmp_path / "rows.csv").write_text("question|context\n" + f"When was it built?|{context}\n" * 3)
    job = shared.submit(tmp_path / "rows.csv")
    shared.finish(job)
    window = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True)
    page = window.new_page()
    page.goto(f"{client.base_url}/#/jobs/{job}/review")
    page.locator(".card .text").wait_for()
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.get_by_role("button", name="Right").bounding_box()["height"] >= 44
    page.get_by_text("Nothing is promised yet").wait_for()  # it has its height
    left, right, middle = place_of(page, "Krage")
    page.mouse.move(left + 12, middle)
    page.mouse.down()
    page.mouse.move(right - 12, middle, steps=4)
    page.mouse.up()
    await_stored(page, 1, 3)
    page.get_by_text("1 verdict, 1 wrong").wait_for()
    left, right, middle = place_of(page, "1931")
    touch = window.new_cdp_session(page)
    for kind, points in (
        ("touchStart", [{"x": left + 3, "y": middle}]),
        *(("touchMove", [{"x": left + 3 + (right - left - 6) * step / 5, "y": middle}]) for step in range(1, 6)),
        ("touchEnd", []),
    ):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    await_stored(page, 2, 3)
    verdicts = client.get(f"/v1/jobs/{job}/verdicts").json()["verdicts"]
    assert [context[verdict["start"] : verdict["end"]] for verdict in verdicts] == ["Krage", "1931"]
    page.get_by_role("link", name="Lowest score first").click()
    page.get_by_text("promise nothing").wait_for()
    page.locator(".card .text").wait_for()  # nobody judges what is not shown yet
    page.get_by_role("button", name="No answer").click()
    page.get_by_text("There is no other row to judge").wait_for()
    page.get_by_text(re.compile("^3 judged$")).wait_for()
    assert client.get(f"/v1/jobs/{job}/verdicts").json()["verdicts"][-1]["floor"] is None
    window.close()


def test_a_promise_parts_a_job_and_the_next(page: Any, client: httpx.Client, shared: Cluster, tmp_path: Path):
    text = write_rows(tmp_path / "rows.csv", 70).read_text().replace("|year\n", "|answers\n")
    hard = re.sub(r"In which year was the (\w+ number \d?5) founded", r"Which child is afraid of the \1", text)
    (tmp_path / "rows.csv").write_text(hard)
    first = shared.submit(tmp_path / "rows.csv", answers="answers")
    shared.finish(first)
    page.goto(f"{client.base_url}/#/jobs/{first}")
    page.get_by_text("Only exact matches count").wait_for()
    page.get_by_label("Precision").select_option(label="95% right")
    page.get_by_text("95% or more are right").wait_for()
    promise = client.get(f"/v1/jobs/{first}/trust", params={"precision": 0.95}).json()
    assert promise["trusted"]
    assert promise["rest"]
    page.get_by_text(f"{promise['trusted']} of 70 rows").wait_for()
    page.get_by_role("img", name="The promise, by share of the rows").wait_for()
    accessible(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="as csv", exact=True).first.click()
    assert Path(download.value.path()).read_text("utf-8-sig").count("\n") == promise["trusted"] + 1
    page.get_by_role("link", name="Rows to review").click()
    page.get_by_text(f"{promise['rest']} of 70 rows match").wait_for()
    page.get_by_role("link", name="Review matching rows").click()
    page.get_by_text("promise nothing").wait_for()

    second = shared.submit(tmp_path / "rows.csv", trust=first, precision=0.8)
    split = shared.finish(second)["trusted"]
    page.goto(f"{client.base_url}/#/jobs/{second}")
    page.get_by_text(f"{split['trusted']} rows, by the promise of {first}; {split['rest']} to review").wait_for()
    page.get_by_role("link", name="Answers to take").click()
    page.get_by_text(f"{split['trusted']} of 70 rows match").wait_for()
