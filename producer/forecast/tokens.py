"""The tokenizer of a model, to count the tokens of a sample: where its directory and the library are on this machine.

A tokenizer is not a model runtime. It is loaded by name, since it is not a dependency of the producer: without it
tokens are estimated from bytes.
"""

from __future__ import annotations

import importlib
import json
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contract.forecast.work import Cost
from producer.forecast.survey import Count


def counter(directory: Path, model: str) -> Count | None:
    """A function that counts the tokens of texts as a model does; None if the directory is not that model's, or the
    library is not installed."""
    if find_spec("tokenizers") is None or described(directory).get("name") != model:
        return None
    file = directory / "tokenizer.json"
    try:
        tokenizer = _tokenizer(file, file.stat().st_mtime_ns)
    except Exception:  # the library raises bare Exception; the worker reports it when it starts
        return None

    def count(texts: list[str]) -> list[int]:
        # One by one: a batch starts threads, and warns of them when this process starts others.
        return [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]

    return count


@lru_cache(1)
def _tokenizer(file: Path, changed: int) -> Any:
    tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def described(directory: Path) -> dict[str, Any]:
    """What a model directory says about its model; empty if there is none."""
    try:
        described = json.loads((directory / "reader.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return described if isinstance(described, dict) else {}


def curve(directory: Path, model: str) -> Cost | None:
    """The cost curve of a model, by its directory."""
    about = described(directory)
    try:
        return Cost.of(about["evaluation"]["cost"]) if about.get("name") == model else None
    except (KeyError, TypeError, ValueError):
        return None
