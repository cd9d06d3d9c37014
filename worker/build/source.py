"""The location of a checkpoint: a local folder, or a name at the Hugging Face hub, which is asked once, with a timeout.

The hub is not asked for a mistyped folder: it may have another checkpoint of that name. Does not cover loading
(`checkpoint`).
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from contract.errors import ModelError

#: `name`, or `owner/name`.
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_TIMEOUT = 5.0  #: seconds
_REMEDY = "Name the folder of a checkpoint, or its id at the Hugging Face hub: OWNER/NAME."


@dataclass(frozen=True, slots=True)
class Location:
    """Where to load a checkpoint from."""

    name: str  #: a folder, or an id at the hub
    local: bool  #: without the network: it is a folder, or has to be in the cache
    unreachable: str | None = None  #: why the hub does not answer


def local_folder(source: str) -> Location | None:
    """A local folder; None if the source may be an id at the hub. Raises ModelError for a folder that does not exist,
    or is not a checkpoint."""
    path = Path(source).expanduser()
    if path.exists():
        return Location(str(_checked(source, path)), local=True)
    near = _near(path)
    if near or _is_path(source, path):
        suggestion = f" Did you mean {near}?" if near else ""
        raise ModelError(f"there is no folder {source}.{suggestion}", _REMEDY)
    return None


def _checked(source: str, path: Path) -> Path:
    if path.is_dir() and (path / "config.json").is_file():
        return path
    problem = "has no config.json" if path.is_dir() else "is a file"
    raise ModelError(f"{source} {problem}: it is not a checkpoint", _REMEDY)


def _is_path(source: str, path: Path) -> bool:
    """Whether a name can only be that of a folder: by its spelling, or because its parent exists."""
    return not _HUB_NAME.fullmatch(source) or (path.parent != Path() and path.parent.is_dir())


def _near(path: Path) -> Path | None:
    """A local folder with a similar name."""
    parent = path.parent
    if not parent.is_dir() and (near := _near(parent)) is not None:
        parent = near
        if (parent / path.name).is_dir():
            return parent / path.name
    try:
        folders = {entry.name.casefold(): entry.name for entry in os.scandir(parent) if entry.is_dir()}
    except OSError:
        return None
    match = difflib.get_close_matches(path.name.casefold(), folders, n=1, cutoff=0.8)
    return parent / folders[match[0]] if match else None


def at_hub(source: str) -> Location:
    """Ask the hub for a name, once: its client would retry, and print a line each time.

    Raises ModelError if the hub does not have it. Without a network it may still be in the cache.
    """
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        huggingface_hub.HfApi().model_info(source, timeout=_TIMEOUT)
    except GatedRepoError as error:
        raise ModelError(
            f"the Hugging Face hub gives {source} only to those who accepted its terms",
            "Accept them there, and set HF_TOKEN to your token.",
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"{source} is not a folder here, and the Hugging Face hub has none of that name", _REMEDY
        ) from error
    except Exception as error:  # each version has its own: for the network, a proxy, offline mode
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        return Location(source, local=True, unreachable=reason)
    return Location(source, local=False)
