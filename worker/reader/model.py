"""A model directory: its files, its description, and the checks of both. Loads no model and no runtime.

    model.onnx        the graph: token ids in, start_logits and end_logits out
    tokenizer.json    the tokenizer
    reader.json       this module's ModelInfo
    README.md         the model card

`worker.build` makes such a directory from a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import ModelError
from contract.forecast.work import Cost

SCHEMA_VERSION = 1
REBUILD = "Build the model directory again: worker build SOURCE DEST"
DESCRIPTION = "reader.json"
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class Template:
    """Token ids around question and context: prefix, question, middle, context, suffix. CLS is token 0 of the prefix.

    Type ids are `question_type` up to the end of middle, `context_type` from the context on.
    """

    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]
    question_type: int = 0
    context_type: int = 1

    @property
    def size(self) -> int:
        """Tokens of a window that are neither question nor context."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A question that the model answers correctly: a worker asks it before it takes work."""

    question: str
    context: str
    answer: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Everything about a model except its weights."""

    name: str
    digest: str  #: sha256 over graph (external data too) and tokenizer, first 16 hex digits
    precision: str  #: fp32, fp16 or int8
    architecture: str
    inputs: tuple[str, ...]  #: inputs that the graph declares, of input_ids, attention_mask, token_type_ids
    max_positions: int  #: tokens in the longest window that the graph takes
    vocab_size: int
    template: Template
    null_trained: bool  #: whether the null score, at CLS, was trained
    no_answer_threshold: float | None = None  #: default for jobs that set none; None: always answer
    graph: str = "model.onnx"
    known_answers: tuple[KnownAnswer, ...] = ()
    disabled_optimizers: tuple[str, ...] = ()  #: optimizers of onnxruntime that are off when the graph is loaded
    evaluation: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    unproven: bool = False  #: it answers none of the known questions, and was built all the same
    cost: Cost | None = None  #: its cost curve, measured when it was built
    schema_version: int = SCHEMA_VERSION

    @property
    def pinned(self) -> str:
        """The digest that a job is pinned to. It covers the no-answer threshold too, which decides answers as well and
        may be set by hand."""
        if self.no_answer_threshold is None or not self.null_trained:
            return self.digest
        return hashlib.sha256(f"{self.digest} {self.no_answer_threshold}".encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """The fields as in JSON. Earlier versions refuse a field that they do not know, so `unproven` is there only if
        set, and `cost` is within `evaluation`."""
        values = {name: value for name, value in asdict(self).items() if name != "unproven" or value}
        if cost := values.pop("cost"):
            values["evaluation"] = {**self.evaluation, "cost": cost}
        return values


def describe(directory: Path) -> ModelInfo:
    """Read `reader.json`, and check that the files that it names exist. Raises ModelError with the reason."""
    path = Path(directory) / DESCRIPTION
    remedy = "Set BULKQA_MODEL_DIR to a directory made by: worker build SOURCE DEST"
    if not path.parent.is_dir():
        raise ModelError(f"there is no model directory {path.parent}", remedy)
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["schema_version"] != SCHEMA_VERSION:
            raise ModelError(f"{path} is of format version {data['schema_version']}, not {SCHEMA_VERSION}", remedy)
        template: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.pop("template").items()}
        info = ModelInfo(
            template=Template(**template),
            inputs=tuple(data.pop("inputs")),
            disabled_optimizers=tuple(data.pop("disabled_optimizers", ())),
            known_answers=tuple(KnownAnswer(**known) for known in data.pop("known_answers")),
            cost=Cost.of(cost) if (cost := data.get("evaluation", {}).pop("cost", None)) else None,
            **data,
        )
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent} is not a model directory: it has no {DESCRIPTION}", remedy) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error}", remedy) from error
    for name in (info.graph, TOKENIZER):
        if Path(name).name != name or not (path.parent / name).is_file():
            raise ModelError(f"{path.parent} is incomplete: it has no {name}", remedy)
    return info


def digest(directory: Path, graph: str) -> str:
    """sha256 over the graph, the files with its weights, and the tokenizer: first 16 hex digits.

    Raises ModelError if the graph names a file outside its directory, or one that does not exist.
    """
    directory = Path(directory)
    sha = hashlib.sha256()
    with _mapped(directory / graph) as data:
        weights = _weights(directory, graph, data)
        sha.update(hashlib.sha256(data).digest())
    for path in (*weights, directory / TOKENIZER):
        with _mapped(path) as data:
            sha.update(hashlib.sha256(data).digest())
    return sha.hexdigest()[:16]


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap | bytes]:
    """The bytes of a file, which take no memory of the process: hashing them is one call without Python's lock."""
    if not path.stat().st_size:  # an empty file cannot be mapped
        yield b""
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


#: An entry of ONNX's external_data as protobuf writes it: the key "location", and a value of less than 128 bytes.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")


def _weights(directory: Path, graph: str, data: mmap.mmap | bytes) -> list[Path]:
    """The files with a graph's weights, by name. Found in its bytes: a worker has no library that parses them."""
    names = {data[match.end() : match.end() + match[1][0]] for match in _LOCATION.finditer(data)}
    paths = []
    for name in sorted(name.decode("utf-8", "replace") for name in names):
        if Path(name).name != name or not (directory / name).is_file():
            raise ModelError(f"{directory / graph} has weights in {name!r}, which is not a file beside it")
        paths.append(directory / name)
    return paths
