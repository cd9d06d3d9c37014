"""What holds for the repository as a whole: who imports whom, and that what is documented is what there is."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import contract
import producer
import worker
from contract import errors
from contract.format.job import ROW_ERRORS
from contract.ledger import reasons

REPO = Path(__file__).parents[1]
README = (REPO / "README.md").read_text()
REFERENCE = (REPO / "docs" / "reference.md").read_text()
MODEL_RUNTIME = ("onnxruntime", "tokenizers", "transformers", "torch", "onnx")


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True, timeout=60).stdout


def modules(package: object) -> list[str]:
    folder = Path(package.__file__).parent  # type: ignore[attr-defined]
    found = (path.relative_to(folder.parent).with_suffix("").parts for path in folder.rglob("*.py"))
    return sorted(".".join(parts).removesuffix(".__init__") for parts in found if parts[-1] != "__main__")


# Imports


def test_the_import_rules_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=REPO, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.slow
def test_the_producer_loads_no_model_runtime():
    """At run time too, with everything of it imported; and nothing of the worker."""
    code = f"""
import importlib, json, sys
for name in {modules(producer)!r}: importlib.import_module(name)
print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] in {(*MODEL_RUNTIME, "worker")!r})))
"""
    assert json.loads(python(code)) == []


@pytest.mark.slow
def test_help_is_quick_because_it_loads_nothing_heavy():
    heavy = (*MODEL_RUNTIME, "pyarrow", "pandas", "numpy", "celery")
    for command, more in (("producer.cli", ("pydantic",)), ("worker.cli", ())):
        code = f"import json, sys, {command}; print(json.dumps([m for m in {heavy + more!r} if m in sys.modules]))"
        assert json.loads(python(code)) == [], command


@pytest.mark.slow
def test_commands_leave_pandas_alone():
    """pyarrow imports it at the first array that it makes, where it is installed, and a second is gone."""
    pytest.importorskip("pandas")
    command = [sys.executable, "-X", "importtime", "-m", "producer", "check", "samples/questions.csv"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True, timeout=60)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pyarrow.lib" in imported
    assert "pandas.core" not in imported


def test_every_module_says_what_it_is_for():
    for name in [*modules(producer), *modules(worker), *modules(contract)]:
        path = REPO / name.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert re.match(r'"""\S', path.read_text()), name


def test_files_functions_and_rooms_can_be_seen_at_once():
    for package in (contract, producer, worker):
        folder = Path(package.__file__).parent
        for room in [folder, *(path for path in folder.rglob("*") if path.is_dir() and path.name != "__pycache__")]:
            files = [path for path in room.glob("*.py") if not path.stem.startswith("__")]
            assert len(files) <= 12, room
            for path in files:
                text = path.read_text()
                assert text.count("\n") <= 400, path
                for node in ast.walk(ast.parse(text)):
                    if isinstance(node, ast.FunctionDef):
                        assert (node.end_lineno or 0) - node.lineno < 50, (path, node.name)


def test_the_page_is_small_enough_to_do_without_a_build_step():
    texts = {path.name: path.read_text().splitlines() for path in (REPO / "producer" / "server" / "page").iterdir()}
    assert sum(map(len, texts.values())) <= 1500
    wide = [(name, line) for name, lines in texts.items() for line in lines if len(line) > 140 and name != "icon.svg"]
    assert wide == []


# Documentation


def listed(program: str) -> set[str]:
    """The commands that `--help` lists."""
    command = [Path(sys.executable).with_name(program), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return set(re.findall(r"^  (\w+)  ", text.partition("Commands:\n")[2], re.M))


def test_generated_files_are_current():
    command = [sys.executable, "scripts/generate.py", "--check"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_is_short_and_python_comes_early():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert "from bulkqa import Client" in lines[:60]


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "Makefile", "docker-compose.yml"]
)
def test_documents_speak_of_commands_that_there_are(document: str):
    known = {(program, command) for program in ("producer", "worker") for command in listed(program)} | {
        ("worker", "quarantine")  # not for people, and not listed
    }
    text = (REPO / document).read_text()
    spoken = set(re.findall(r"(?:`|^|/bin/|\$ )(producer|worker) ([a-z]+)\b", text, re.M))
    assert spoken <= known


def test_the_map_has_every_room():
    text = (REPO / "ARCHITECTURE.md").read_text()
    for package in (contract, producer, worker):
        folder = Path(package.__file__).parent
        for room in [path.parent for path in folder.glob("*/__init__.py")]:
            assert f"\n  {room.name}/ " in text, room


@pytest.mark.parametrize("code", ROW_ERRORS)
def test_every_code_of_a_row_error_is_documented(code: str):
    assert f"`{code}`" in REFERENCE


def test_every_reason_of_a_job_is_documented():
    codes = set(re.findall(r"^\| (\w+(?:, \w+)*) \| ", reasons.__doc__ or "", re.M)) - {"code"}
    assert len(codes) == 12
    for code in {one for each in codes for one in each.split(", ")}:
        assert f"`{code}`" in REFERENCE, code


def test_every_exit_status_of_an_error_is_documented():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.BulkqaError)]
    statuses = {kind.exit_code for kind in kinds} | {0, errors.COMPLETED_WITH_ERRORS}
    sentence = re.search(r"^Exit status: .*?(?:\n\n|\Z)", REFERENCE, re.M | re.S)
    assert sentence
    assert statuses <= {int(number) for number in re.findall(r"\b\d\b", sentence[0])}


def quoted(guide: str) -> list[str]:
    """The first column of its tables of messages."""
    tables = re.findall(r"^\| it says \|.*\n\|[-|]+\n((?:\|.*\n)+)", guide, re.M)
    return [cell for table in tables for cell in re.findall(r"^\| (.*?) \|", table, re.M)]


@cache
def messages() -> str:
    """The code with adjacent strings joined and without what is filled in, so that messages can be found in it."""
    rooms = (contract, producer, worker)
    code = "".join(path.read_text() for room in rooms for path in Path(room.__file__).parent.rglob("*.py"))
    return re.sub(r"\s+", " ", re.sub(r'"\s*\n\s*f?"', "", re.sub(r"\{[^{}\n]*\}", "", code)))


@pytest.mark.parametrize("message", quoted((REPO / "docs" / "troubleshooting.md").read_text()))
def test_every_message_that_the_guide_to_troubles_quotes_is_in_the_code(message: str):
    assert message in messages()


def _prose(path: Path) -> str:
    """Without what is in blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)


def _anchors(path: Path) -> set[str]:
    """Of its headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.*)$", _prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_link_of_a_document_leads_somewhere():
    rooms = ("", "docs", "deploy/*", "benchmarks", "models/*")
    for document in [path for room in rooms for path in REPO.glob(f"{room}/*.md".lstrip("/"))]:
        for link in re.findall(r"\]\(([^)\s]+)\)", _prose(document)):
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            there = document.parent / path if path else document
            assert there.exists(), (document.name, link)
            assert not anchor or anchor in _anchors(there), (document.name, link)


@pytest.mark.parametrize("document", [*REPO.glob("*.md"), *REPO.glob("docs/*.md")], ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path):
    rooms = "bulkqa|contract|producer|worker|tests|scripts|benchmarks|deploy|requirements"
    for name in re.findall(rf"`((?:{rooms})/[\w./-]+)`", document.read_text()):
        assert (REPO / name).exists(), name


def test_every_stop_of_the_path_of_a_row_is_there():
    stops = re.findall(r"^\| \d+ \| `(\S+)` `(?:\w+\.)?(\w+)` \|", (REPO / "ARCHITECTURE.md").read_text(), re.M)
    assert len(stops) == 12
    for name, function in stops:
        assert f"def {function}(" in (REPO / name).read_text(), (name, function)


def test_no_file_names_a_folder_of_somebodys_machine():
    git = shutil.which("git")
    if git is None or not (REPO / ".git").exists():
        pytest.skip("this is not a git checkout")
    names = subprocess.run([git, "ls-files"], cwd=REPO, capture_output=True, text=True, check=True).stdout.splitlines()
    private = re.compile(rb"(?<![\w.])/(?:work|root|home|Users)/[\w.]")
    found = {}
    for name in names:
        path = REPO / name
        if path.is_file() and path.stat().st_size < 1 << 20 and (match := private.search(path.read_bytes())):
            found[name] = match[0]
    assert found == {}


@pytest.mark.slow
@pytest.mark.parametrize("program", ["producer", "worker"])
def test_help_is_not_cut_on_a_terminal_of_80_columns(program: str):
    command = [Path(sys.executable).with_name(program), "--help"]
    env = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=env).stdout
    assert "..." not in text.partition("Commands:")[2]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
def test_every_benchmark_can_be_imported():
    """Nothing else checks them: they take minutes to run."""
    pytest.importorskip("torch", reason="extra [build]")
    names = re.search(r"^BENCHMARKS := (.*)$", (REPO / "Makefile").read_text(), re.MULTILINE)
    assert names
    python("import importlib\n" + "\n".join(f"importlib.import_module('benchmarks.{n}')" for n in names[1].split()))
