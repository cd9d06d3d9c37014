"""The model directory that a name stands for: one that exists, or one that is built from a checkpoint, once."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path

from contract import SHIPPED_MODEL, shipped_model
from worker.reader.model import DESCRIPTION

log = logging.getLogger("bulkqa.pipeline")


def directory_of(model: str | os.PathLike[str] | None) -> Path:
    """A model directory; None: the one that ships. A checkpoint, a folder or an id at the Hugging Face hub, is built
    into the cache, at int8. Raises ModelError, and MissingExtra if it is to be built and the extra [build] is not
    installed."""
    if model is None or str(model) == SHIPPED_MODEL:
        return shipped_model()
    folder = Path(model).expanduser()
    if (folder / DESCRIPTION).is_file():
        return folder
    built = cache() / _name(str(model), folder)
    if not (built / DESCRIPTION).is_file():
        _build(str(model), built)
    return built


def cache() -> Path:
    """Where models are built: `bulkqa/models` in XDG_CACHE_HOME, by default in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "bulkqa" / "models"


def _name(source: str, folder: Path) -> str:
    """The name in the cache: of a folder also its files, so that other weights in it are another model."""
    about = [source]
    if folder.is_dir():
        about = [str(folder.resolve())]
        about += sorted(f"{each.name} {each.stat().st_size} {each.stat().st_mtime_ns}" for each in folder.iterdir())
    readable = re.sub(r"[^\w.-]+", "-", folder.resolve().name if folder.is_dir() else source)
    return f"{readable}-{hashlib.sha256(' '.join(about).encode()).hexdigest()[:8]}"


def _build(source: str, destination: Path) -> None:
    """Build a checkpoint, and log the steps. One that answers none of the known questions is taken too, as transformers
    takes it, with a warning: it may know another language."""
    from contract.errors import ModelError
    from worker.build import build

    try:
        info = build(source, destination, force_unknown=True, progress=log.info)
    except ModelError:
        if not (destination / DESCRIPTION).is_file():  # or another process was first
            raise
        return
    if info.unproven:
        log.warning("%s answers none of the questions that every English reader knows: look at its answers", source)
