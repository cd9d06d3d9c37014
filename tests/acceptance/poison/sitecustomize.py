"""Put on a worker's PYTHONPATH by tests: makes its reader die, as $POISON says, on poisonous questions."""

import importlib.abc
import importlib.machinery
import os
import resource
import sys
import time
from pathlib import Path


def _dies() -> None:
    how = os.environ["POISON"]
    if how == "lost" and not (mark := Path(os.environ["POISON_MARK"])).exists():
        mark.touch()
        _lose_device()
    if how == "abort":
        os.abort()
    if how == "exit":
        os._exit(3)
    if how == "hang":
        time.sleep(3600)
    if how == "memory":
        raise MemoryError
    if how == "exhaust":
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115, PTH123
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), resource.RLIM_INFINITY))
        held = []
        while True:
            held.append(bytes(16 << 20))


def _lose_device() -> None:
    """The model answers nothing more in this process."""
    from worker.reader.session import Session

    def lost(self, windows):  # type: ignore[no-untyped-def]
        raise OSError("the device is lost")

    Session._run = lost


class _Poisoned(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):  # type: ignore[no-untyped-def]
        if name != "worker.reader.encode":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):  # type: ignore[no-untyped-def]
            run(module)
            encode = module.Encoder.encode

            def poisoned(self, question, context, options):  # type: ignore[no-untyped-def]
                if "POISON" in question:
                    _dies()
                return encode(self, question, context, options)

            module.Encoder.encode = poisoned

        spec.loader.exec_module = exec_module
        return spec


if "POISON" in os.environ:
    sys.meta_path.insert(0, _Poisoned())
