"""A copy of the programs as a later version might be: with a field more in all that they write and send."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from contract import SHIPPED_MODEL
from tests.acceptance.cluster import REPO

VERSION = "99.0.0"
PACKAGES = ("contract", "producer", "worker")
#: What others read that this version wrote, by module. Not Options: a job with one more is for those who know it.
GROWN = {
    "contract/queue/__init__.py": ("WorkerInfo",),
    "contract/format/job.py": ("Manifest", "InputFile", "ModelRef"),
    "contract/ledger/progress.py": ("Progress", "Chunks"),
    "contract/format/part.py": ("Footer",),
    "contract/ledger/tally.py": ("Tally",),
}


def later_version(folder: Path) -> dict[str, str]:
    """Make it in a folder. Returns the environment in which `python -m worker` is that version."""
    for package in PACKAGES:
        shutil.copytree(REPO / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, classes in GROWN.items():
        _change(folder / module, "from __future__ import annotations\n", "import dataclasses\n")
        for name in classes:
            grown = '    later: str = dataclasses.field(default="of a later version", kw_only=True)\n'
            _change(folder / module, rf"^class {name}:\n", grown)
    _change(folder / "contract/queue/redis.py", r"args=\[job, chunk", ', "of a later version"')
    _change(folder / "contract/queue/redis.py", r"send_task\(TASK,", ' kwargs={"later": True},')
    _change(folder / "worker/worker.py", r'version\("bulkqa"\)', f' and "{VERSION}"')
    return {"PYTHONPATH": str(folder), "BULKQA_MODEL_DIR": str(REPO / "models" / SHIPPED_MODEL)}


def _change(path: Path, after: str, added: str) -> None:
    """Put something behind the one place that matches."""
    text, count = re.subn(after, lambda found: found[0] + added, path.read_text(), flags=re.M)
    assert count == 1, f"{after!r} is {count} times in {path}: this test has to follow a change there"
    path.write_text(text)
