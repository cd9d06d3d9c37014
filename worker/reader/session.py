"""The model at work: one warm onnxruntime session, one unpadded window per run. The only run-time user of onnxruntime.

`run_many` is the other strategy, for GPUs (`batch`); the execution provider decides.

Why one window per run, and threads instead of batches: on a CPU a batch buys nothing, padding costs, and with dynamic
int8 quantization the windows of a batch share one activation scale, so that neighbours would change answers. Covers
feeding and running the graph; not what goes in (`encode`) nor what the logits
mean (`decode`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from contract import machine
from contract.errors import ModelError
from worker.reader.batch import TOKEN_BUDGET, pad, plan
from worker.reader.decode import Logits, Window
from worker.reader.model import ModelInfo, Template

OUTPUTS = ["start_logits", "end_logits"]
_CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
#: What the runtime, C++ and CUDA say when memory is short.
_NO_MEMORY = ("allocate memory", "bad_alloc", "out of memory")
_DTYPES = {"tensor(int64)": "int64", "tensor(int32)": "int32"}


class Session:
    """A loaded graph. `run` may be called from any number of threads: onnxruntime lets go of the GIL meanwhile."""

    def __init__(
        self,
        directory: Path,
        info: ModelInfo,
        providers: Sequence[str] = (_CPU,),
        budget: int = TOKEN_BUDGET,
    ) -> None:
        """Load the graph of a model directory. Raises ModelError when it is not one of `info`'s.

        `budget`: padded tokens in a run of `run_many`, at most.
        """
        path = Path(directory) / info.graph
        remedy = "Make the model directory again: worker build"
        try:
            self._session = ort.InferenceSession(
                str(path), _session_options(), list(providers), disabled_optimizers=list(info.disabled_optimizers)
            )
        except Exception as error:  # the runtime's errors have no common base but Exception
            raise ModelError(f"{path} cannot be loaded: {error}", remedy) from error
        declared = {given.name: given.type for given in self._session.get_inputs()}
        outputs = [given.name for given in self._session.get_outputs()]
        if set(declared) != set(info.inputs) or not set(declared) <= set(_INPUTS):
            raise ModelError(f"{path} takes {sorted(declared)}, its description says {sorted(info.inputs)}", remedy)
        if not set(declared.values()) <= set(_DTYPES) or not set(OUTPUTS) <= set(outputs):
            raise ModelError(f"{path} takes {declared} and gives {outputs}: it is no reader of token ids", remedy)
        self._dtypes = {name: _DTYPES[kind] for name, kind in declared.items()}
        self._template = info.template
        self._budget = budget
        #: Called after every run, from the thread that ran it: a sign of life.
        self.after_run: Callable[[], None] = lambda: None
        self.provider = str(self._session.get_providers()[0])
        #: Whether windows are better run together: not on a CPU, nor where neighbours would change answers.
        self.batched = self.provider != _CPU and info.precision != "int8"

    def run(self, window: Window) -> tuple[Logits, Logits]:
        """Start and end logits of one window, (S,) float32 each.

        Raises the runtime's own exceptions, but MemoryError when there was no memory: that is the machine's failure
        and not the row's.
        """
        return self._together([window])[0]

    def run_many(self, windows: Sequence[Window]) -> list[tuple[Logits, Logits]]:
        """The same of many windows, in their order, run in padded batches where that is better. Raises what `run`
        does."""
        if not self.batched:
            return [self.run(window) for window in windows]
        found: dict[int, tuple[Logits, Logits]] = {}
        lengths = [len(window.input_ids) for window in windows]
        for batch in plan(lengths, self._budget, padding="attention_mask" in self._dtypes):
            found |= zip(batch, self._together([windows[index] for index in batch]), strict=True)
        return [found[index] for index in range(len(windows))]

    def _together(self, windows: Sequence[Window]) -> list[tuple[Logits, Logits]]:
        feed = {
            name: pad([_INPUTS[name](window, self._template) for window in windows]).astype(dtype)
            for name, dtype in self._dtypes.items()
        }
        try:
            starts, ends = self._session.run(OUTPUTS, feed)
        except Exception as error:
            if any(sign in str(error) for sign in _NO_MEMORY):
                raise MemoryError(str(error)) from error
            raise
        self.after_run()
        starts, ends = np.asarray(starts, np.float32), np.asarray(ends, np.float32)
        sizes = [len(window.input_ids) for window in windows]
        behind = [max(sizes) - size for size in sizes]  # only padding is cut off: a wrong length stays one
        return [(s[: len(s) - n], e[: len(e) - n]) for s, e, n in zip(starts, ends, behind, strict=True)]


def providers_for(wanted: str) -> tuple[str, ...]:
    """Execution providers for the setting BULKQA_PROVIDER: cpu, cuda, or auto. Raises ModelError."""
    cuda = CUDA in ort.get_available_providers()
    if wanted == "cuda" and not cuda:
        raise ModelError(
            "this onnxruntime has no CUDA", "Install onnxruntime-gpu in its place, or start with --provider cpu."
        )
    if not cuda or wanted == "cpu":
        return (_CPU,)
    ort.preload_dlls()  # CUDA and cuDNN where pip put them: it finds no others but the system's by itself
    return CUDA, _CPU


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Measured on a mix of 16 to 384 tokens: the arena settles at its highest use, 201 MiB with 8 threads, where malloc
    # ends at 311; patterns are kept for every length seen and gain no speed.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    # Without it int8 overflows there, which the reader that ships bears, and small ones do not. It costs 6 %; with VNNI
    # it would halve the speed, for nothing.
    if not machine.multiplies_bytes_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    return options


def _token_types(window: Window, template: Template) -> NDArray[np.int64]:
    types = np.full(window.input_ids.shape, template.context_type, np.int64)
    types[: window.first] = template.question_type
    return types


#: Each input that a graph may declare, made from a window: (S,) int64. No padding: every position is attended to.
_INPUTS: dict[str, Callable[[Window, Template], NDArray[np.int64]]] = {
    "input_ids": lambda window, _: window.input_ids,
    "attention_mask": lambda window, _: np.ones_like(window.input_ids),
    "token_type_ids": _token_types,
}
