"""What producers and workers promise each other: records, keys, storage, queue and the ledger of a job.

Nothing in here loads a model or reads a user's file; `producer` and `worker` stand on this package and never on
each other.
"""

from __future__ import annotations

from pathlib import Path

#: The model that ships with bulkqa. Not a setting: a pipeline reads none, and settings take a quarter of a second.
SHIPPED_MODEL = "minilm-l6-qa"


def shipped_model() -> Path:
    """The directory of the model that ships: `models` in the repository, `worker/models` in an installed wheel."""
    root = Path(__file__).resolve().parent.parent
    packaged = root / "worker" / "models" / SHIPPED_MODEL
    return packaged if packaged.is_dir() else root / "models" / SHIPPED_MODEL
