"""Make dist/datarobot: a folder to upload as an unstructured custom model, with a model directory in it.

python scripts/datarobot.py [MODEL_DIR] [DESTINATION]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
#: What `custom.py` imports of ours, of which nothing else comes along.
PARTS = (
    "contract/__init__.py", "contract/errors.py", "contract/evaluation.py", "contract/machine.py", "contract/remedy.py",
    "contract/squad.py", "contract/format", "producer/input", "worker/__init__.py", "worker/scoring.py",
    "worker/reader",
)  # fmt: skip


def make(model: Path, destination: Path) -> None:
    """Write the folder anew. Raises SystemExit for what is no model directory, or a folder with something else."""
    if not (model / "reader.json").is_file():
        sys.exit(f"{model} is not a model directory: it has no reader.json\n  Make one: worker build SOURCE DEST")
    if destination.exists() and any(destination.iterdir()) and not (destination / "custom.py").is_file():
        sys.exit(f"{destination} holds something else, and would be removed\n  Name another folder.")
    shutil.rmtree(destination, ignore_errors=True)
    sources = {REPO / "deploy" / "datarobot": destination, model: destination / "model"}
    for source, target in (sources | {REPO / part: destination / part for part in PARTS}).items():
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    # Not ours, which imports the client; and with none at all, another `producer` on the path would be taken.
    (destination / "producer" / "__init__.py").write_text('"""Of the producer, what reads its inputs."""\n')


def main() -> None:
    """As a command."""
    given = [Path(one) for one in sys.argv[1:]]
    model, destination = (*given, *(REPO / "models" / "minilm-l6-qa", REPO / "dist" / "datarobot")[len(given) :])
    make(model, destination)
    size = sum(file.stat().st_size for file in destination.rglob("*") if file.is_file())
    print(f"{destination}: {size / 2**20:.0f} MiB, to be zipped and uploaded")


if __name__ == "__main__":
    main()
