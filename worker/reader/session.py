"""The model at work: one warm onnxruntime session, one unpadded window per run. Only this module runs onnxruntime.

On a GPU `run_many` runs padded batches instead (`batch`); the execution provider decides.

Why one window per run, and threads instead of batches: on a CPU a batch gains nothing, padding costs, and with dynamic
int8 quantization the windows of a batch share one activation scale, so neighbours would change answers. Covers feeding
and running the graph; not what goes in (`encode`), nor what the logits mean (`decode`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from contract import machine
from contract.errors import ModelError
from worker.reader.batch import TOKEN_BUDGET, pad, plan
from worker.reader.model import REBUILD, ModelInfo, Template

if TYPE_CHECKING:  # the graph is loaded while these are imported (`open`)
    from worker.reader.decode import Logits, Window

OUTPUTS = ["start_logits", "end_logits"]
_CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
#: Messages of the runtime, C++ and CUDA when memory is short.
_NO_MEMORY = ("allocate memory", "bad_alloc", "out of memory")
_DTYPES = {"tensor(int64)": "int64", "tensor(int32)": "int32"}


class Session:
    """A loaded graph. Any number of threads may call `run`: onnxruntime releases the GIL meanwhile."""

    def __init__(
        self,
        directory: Path,
        info: ModelInfo,
        providers: Sequence[str] = (_CPU,),
        budget: int = TOKEN_BUDGET,
    ) -> None:
        """Load the graph of a model directory. Raises ModelError if it does not fit `info`.

        `budget`: padded tokens in a run of `run_many`, at most.
        """
        path = Path(directory) / info.graph
        try:
            self._session = ort.InferenceSession(
                str(path), _session_options(), list(providers), disabled_optimizers=list(info.disabled_optimizers)
            )
        except Exception as error:  # the runtime's errors have no common base but Exception
            raise ModelError(f"{path} cannot be loaded: {error}", REBUILD) from error
        declared = {each.name: each.type for each in self._session.get_inputs()}
        outputs = [each.name for each in self._session.get_outputs()]
        if set(declared) != set(info.inputs) or not set(declared) <= set(_INPUTS):
            raise ModelError(f"{path} takes {sorted(declared)}, its description says {sorted(info.inputs)}", REBUILD)
        if not set(declared.values()) <= set(_DTYPES) or not set(OUTPUTS) <= set(outputs):
            raise ModelError(f"{path} takes {declared} and gives {outputs}: it is not a reader of token ids", REBUILD)
        self._dtypes = {name: _DTYPES[kind] for name, kind in declared.items()}
        self._template = info.template
        self._budget = budget
        self._of_bytes = info.precision == "int8"
        #: Called after every run, from the thread that ran it: a sign of life.
        self.after_run: Callable[[], None] = lambda: None
        self.provider = str(self._session.get_providers()[0])
        #: Whether windows are run in batches: not on a CPU, nor where neighbours would change answers.
        self.batched = self.provider != _CPU and info.precision != "int8"

    @property
    def numerics(self) -> str:
        """What decides the last digits of logits besides the model: if it is the same, so are the logits of a
        window."""
        here = machine.arithmetic(of_bytes=self._of_bytes)
        return f"onnxruntime {ort.__version__}, {self.provider}, {here}"

    def beside(self) -> Session:
        """A session of the same loaded graph, with no callback."""
        other = copy(self)
        other.after_run = lambda: None
        return other

    def run(self, window: Window) -> tuple[Logits, Logits]:
        """Start and end logits of one window, (S,) float32 each.

        Raises the runtime's own exceptions, but MemoryError if memory was short: the machine failed, not the row.
        """
        return self._run([window])[0]

    def run_many(self, windows: Sequence[Window]) -> list[tuple[Logits, Logits]]:
        """The same for many windows, in their order, in padded batches if `batched`. Raises what `run` does."""
        if not self.batched:
            return [self.run(window) for window in windows]
        logits: dict[int, tuple[Logits, Logits]] = {}
        lengths = [len(window.input_ids) for window in windows]
        for batch in plan(lengths, self._budget, padding="attention_mask" in self._dtypes):
            logits |= zip(batch, self._run([windows[index] for index in batch]), strict=True)
        return [logits[index] for index in range(len(windows))]

    def _run(self, windows: Sequence[Window]) -> list[tuple[Logits, Logits]]:
        feed = {
            name: pad([_INPUTS[name](window, self._template) for window in windows]).astype(dtype, copy=False)
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
        padding = [max(sizes) - size for size in sizes]  # cut off by its length: wrong lengths are found later
        return [(s[: len(s) - n], e[: len(e) - n]) for s, e, n in zip(starts, ends, padding, strict=True)]


def providers_for(setting: str) -> tuple[str, ...]:
    """Execution providers for the setting BULKQA_PROVIDER: cpu, cuda, or auto. Raises ModelError."""
    cuda = CUDA in ort.get_available_providers()
    if setting == "cuda" and not cuda:
        raise ModelError(
            "this onnxruntime has no CUDA", "Install onnxruntime-gpu in its place, or set BULKQA_PROVIDER=cpu."
        )
    if not cuda or setting == "cpu":
        return (_CPU,)
    ort.preload_dlls()  # CUDA and cuDNN that pip installed: by itself it finds only the system's
    return CUDA, _CPU


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Measured on a mix of 16 to 384 tokens: the arena settles at its peak, 201 MiB with 8 threads, and malloc at 311;
    # patterns are kept for every length seen, and gain no speed.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    # Without this int8 overflows there, which the model that ships tolerates and small models do not. It costs 6 %;
    # with VNNI it would halve the speed for nothing.
    if not machine.multiplies_bytes_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    return options


def _token_types(window: Window, template: Template) -> NDArray[np.int64]:
    types = np.full(window.input_ids.shape, template.context_type, np.int64)
    types[: window.first] = template.question_type
    return types


#: How each input that a graph may declare is made from a window: (S,) int64. No padding: the mask is all ones.
_INPUTS: dict[str, Callable[[Window, Template], NDArray[np.int64]]] = {
    "input_ids": lambda window, _: window.input_ids,
    "attention_mask": lambda window, _: np.ones_like(window.input_ids),
    "token_type_ids": _token_types,
}
