"""Put on a worker's PYTHONPATH by tests: does what $FAULT says, once, or while the file $FAULT_FILE is there."""

import errno
import importlib.abc
import importlib.machinery
import itertools
import os
import pathlib
import signal
import sys
import time

FAULT = os.environ.get("FAULT", "")
MARK = os.environ.get("FAULT_FILE", "")


def once() -> bool:
    try:
        os.close(os.open(MARK, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def kill_group() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)


def before(owner, name, do):  # type: ignore[no-untyped-def]
    original = getattr(owner, name)

    def changed(*arguments, **options):  # type: ignore[no-untyped-def]
        do()
        return original(*arguments, **options)

    setattr(owner, name, changed)


def raised(kind):  # type: ignore[no-untyped-def]
    def do() -> None:
        if once():
            raise kind

    return do


def change(module):  # type: ignore[no-untyped-def]
    if FAULT == "ack":  # the part is written and its message is not acknowledged
        before(module.Worker, "_advance", lambda: once() and kill_group())
    if FAULT == "assembly":
        from contract.ledger import assemble

        before(assemble, "_report", lambda: once() and kill_group())  # outputs are there, the report is not
    if FAULT == "groups":
        from contract.groups import reduce

        lines = itertools.count()
        before(reduce, "_line", lambda: next(lines) == 5 and once() and kill_group())  # in the middle of groups.json
    if FAULT == "memory":
        before(module.Worker, "_score", raised(MemoryError))
    if FAULT == "exit":
        before(module.Worker, "_score", raised(SystemExit))
    if FAULT == "late":
        before(module.part, "encode", lambda: once() and time.sleep(8))  # as a storage that takes its time
    if FAULT == "abort":
        before(module.Worker, "__init__", os.abort)
    if FAULT == "slow":
        before(module.Worker, "__init__", lambda: time.sleep(6))


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):  # type: ignore[no-untyped-def]
        if name != "worker.worker":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (run(module), change(module))
        return spec


def failing() -> None:
    if pathlib.Path(MARK).exists():
        raise OSError(errno.EIO, os.strerror(errno.EIO))


if FAULT == "eio":
    for call in ("link", "replace", "listdir", "fsync"):
        before(os, call, failing)
elif FAULT:
    sys.meta_path.insert(0, Finder())
