"""Make dist/datarobot: a folder to upload as an unstructured custom model, with a model directory in it.

python scripts/datarobot.py [MODEL_DIR] [DESTINATION]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
#: What `custom.py` imports of ours, of which nothing else comes along.
PACKAGES = ("contract/errors.py", "contract/machine.py", "contract/format/job.py", "worker/scoring.py", "worker/reader")


def make(model: Path, destination: Path) -> None:
    """Write the folder anew."""
    shutil.rmtree(destination, ignore_errors=True)
    shutil.copytree(REPO / "deploy" / "datarobot", destination)
    for name in PACKAGES:
        source, target = REPO / name, destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.parent / "__init__.py", target.parent)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copytree(model, destination / "model")


def main() -> None:
    """As a command."""
    given = [Path(one) for one in sys.argv[1:]]
    model, destination = (*given, *(REPO / "models" / "minilm-l6-qa", REPO / "dist" / "datarobot")[len(given) :])
    make(model, destination)
    size = sum(file.stat().st_size for file in destination.rglob("*") if file.is_file())
    print(f"{destination}: {size / 2**20:.0f} MiB, to be zipped and uploaded")


if __name__ == "__main__":
    main()
