"""Where a checkpoint is: a folder here, or a name that the Hugging Face hub is asked for, once, and not for long.

A folder whose name was mistyped is not asked for at the hub, which may have something else of that name. Covers no
loading (`checkpoint`).
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
_PATIENCE = 5.0  #: seconds that the hub has for its first answer
_REMEDY = "Name the folder of a checkpoint, or its id at the Hugging Face hub: OWNER/NAME."


@dataclass(frozen=True, slots=True)
class Found:
    """What to load a checkpoint from."""

    name: str  #: a folder, or an id at the hub
    local: bool  #: the network is not asked: it is a folder, or has to be in the cache
    unreachable: str | None = None  #: why the hub does not answer


def here(source: str) -> Found | None:
    """The folder that is meant; None for what may be an id at the hub. Raises ModelError for a folder that is not
    there, or is no checkpoint."""
    path = Path(source).expanduser()
    if path.exists():
        return Found(str(_checked(source, path)), local=True)
    near = _near(path)
    if near or _is_path(source, path):
        meant = f" Did you mean {near}?" if near else ""
        raise ModelError(f"there is no folder {source}.{meant}", _REMEDY)
    return None


def _checked(source: str, path: Path) -> Path:
    if path.is_dir() and (path / "config.json").is_file():
        return path
    what = "has no config.json" if path.is_dir() else "is a file"
    raise ModelError(f"{source} {what}: it is no checkpoint", _REMEDY)


def _is_path(source: str, path: Path) -> bool:
    """Whether a name can only be that of a folder: by how it is written, or since its parent is here."""
    return not _HUB_NAME.fullmatch(source) or (path.parent != Path() and path.parent.is_dir())


def _near(path: Path) -> Path | None:
    """A folder here whose name is nearly that."""
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


def at_hub(source: str) -> Found:
    """Ask the hub whether it has a name: its client would try again and again, with a line on the screen each time.

    Raises ModelError for one that it does not know. Without a network it may still be in the cache.
    """
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        huggingface_hub.HfApi().model_info(source, timeout=_PATIENCE)
    except GatedRepoError as error:
        raise ModelError(
            f"the Hugging Face hub gives {source} to those only who agreed to its terms",
            "Agree there, and put your token into HF_TOKEN.",
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"{source} is no folder here, and the Hugging Face hub has none of that name", _REMEDY
        ) from error
    except Exception as error:  # each version has its own: of the network, of a proxy, of being told to stay offline
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        return Found(source, local=True, unreachable=reason)
    return Found(source, local=False)
