"""Opens a model directory: loads it, checks it and warms it up.

A new process spends half of the time until its first answer on imports, in one thread. So what needs no lock of
Python's runs beside them: the digest while numpy and onnxruntime are imported, the graph while all the rest is. That is
why imports are in the function here, in this order. Covers which directories are refused; answering is in `reader`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from contract import machine
from contract.errors import ModelError
from worker.reader.model import REBUILD, TOKENIZER, ModelInfo, describe, digest

if TYPE_CHECKING:
    from worker.reader.encode import Encoder
    from worker.reader.reader import Reader


def open_reader(directory: Path, provider: str = "cpu", *, longest: bool = True) -> Reader:
    """Load, check and warm up. Raises ModelError: better no reader than one with wrong answers.

    `provider`: cpu, cuda or auto, as the setting BULKQA_PROVIDER. `longest`: run the longest window that the model
    takes, so that memory reaches its peak now: a container that is too small fails at once.
    """
    directory = Path(directory)
    info = describe(directory)
    with ThreadPoolExecutor(2) as beside:
        hashing = beside.submit(digest, directory, info.graph)
        from worker.reader.session import CUDA, Session, providers_for

        loading = beside.submit(Session, directory, info, providers_for(provider))
        from worker.reader.reader import Reader

        # If both fail, this error is raised: a file that was changed explains why its graph cannot be loaded.
        encoder = _checked_encoder(directory, info, hashing.result())
        session = loading.result()
    machine.trim_memory()  # loading takes 20 MiB for a moment
    if provider == "cuda" and session.provider != CUDA:
        raise ModelError(
            "onnxruntime has CUDA but cannot use it here",
            "Its own lines above say why. It needs a GPU, and the libraries of its version of CUDA and cuDNN: "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'. Or set BULKQA_PROVIDER=cpu.",
        )
    reader = Reader(info, encoder, session)
    if longest:
        reader.run_longest()
    reader.check_known()
    return reader


def _checked_encoder(directory: Path, info: ModelInfo, actual: str) -> Encoder:
    """The encoder of a model directory whose files have the digest of its description, and whose tokenizer and template
    fit the model. The graph's inputs are checked in Session. Raises ModelError."""
    from contract.format.job import Options
    from worker.reader.decode import RowFailure
    from worker.reader.encode import Encoder

    if actual != info.digest:
        raise ModelError(f"{directory} has the digest {actual}, its description says {info.digest}", REBUILD)
    encoder = Encoder(directory / TOKENIZER, info)
    template = info.template
    try:
        encoder.encode("what?", "One word, and another.", Options())
    except RowFailure as failure:
        raise ModelError(f"the tokenizer cannot be used: {failure}", REBUILD) from failure
    highest = max(encoder.highest_id, *template.prefix, *template.middle, *template.suffix)
    if highest >= info.vocab_size:
        raise ModelError(f"the tokenizer has ids up to {highest}, the model has {info.vocab_size} tokens", REBUILD)
    if not template.prefix or not template.suffix or info.max_positions < template.size + 2:
        raise ModelError(f"windows of {info.max_positions} tokens do not fit the template {template}", REBUILD)
    return encoder
