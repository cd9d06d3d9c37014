"""Make dist/datarobot: a folder to upload as an unstructured custom model, with a model directory in it.

python scripts/datarobot.py [MODEL_DIR] [DESTINATION]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
#: Our modules that `custom.py` imports: only these are copied.
MODULES = (
    "contract/__init__.py", "contract/errors.py", "contract/evaluation.py", "contract/machine.py", "contract/remedy.py",
    "contract/squad.py", "contract/forecast", "contract/format", "contract/storage/address.py", "producer/input",
    "producer/shuffle.py", "worker/__init__.py", "worker/scoring.py", "worker/reader",
)  # fmt: skip


def make(model: Path, destination: Path) -> None:
    """Write the folder anew. Raises SystemExit for another kind of `model`, or a folder that holds something else."""
    if not (model / "reader.json").is_file():
        sys.exit(f"{model} is not a model directory: it has no reader.json\n  Build one: worker build SOURCE DEST")
    if destination.exists() and any(destination.iterdir()) and not (destination / "custom.py").is_file():
        sys.exit(f"{destination} holds something else, which would be removed\n  Name another folder.")
    shutil.rmtree(destination, ignore_errors=True)
    sources = {REPO / "deploy" / "datarobot": destination, model: destination / "model"}
    for source, target in (sources | {REPO / module: destination / module for module in MODULES}).items():
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    # Not our own, which import the client and the storages. Without any, another `producer` on the path would be found.
    for package, about in (("producer", "reads inputs"), ("contract/storage", "knows addresses")):
        (destination / package / "__init__.py").write_text(f'"""The part of `{package}` that {about}."""\n')


def main() -> None:
    """The command."""
    paths = [Path(argument) for argument in sys.argv[1:]]
    model, destination = (*paths, *(REPO / "models" / "minilm-l6-qa", REPO / "dist" / "datarobot")[len(paths) :])
    make(model, destination)
    size = sum(file.stat().st_size for file in destination.rglob("*") if file.is_file())
    print(f"{destination}: {size / 2**20:.0f} MiB; zip and upload it")


if __name__ == "__main__":
    main()
