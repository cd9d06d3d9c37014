"""The default numbers of processes and threads of a worker."""

from __future__ import annotations

import pytest

from contract.settings import Settings
from worker import tasks
from worker.tasks import processes_and_threads


@pytest.mark.parametrize(
    ("cpus", "processes", "threads", "chosen"),
    [
        (1, 0, 0, (1, 1)),
        (2, 0, 0, (1, 2)),
        (8, 0, 0, (1, 8)),
        (9, 0, 0, (2, 5)),  # at least one thread for each CPU
        (64, 0, 0, (8, 8)),
        (64, 0, 4, (1, 4)),  # a number of threads is that of the only process
        (64, 4, 0, (4, 16)),
        (2, 4, 0, (4, 1)),
        (2, 3, 5, (3, 5)),
    ],
)
def test_there_is_a_thread_for_each_cpu_and_few_in_a_process(
    cpus: int, processes: int, threads: int, chosen: tuple[int, int]
):
    assert processes_and_threads(cpus, Settings(processes=processes, threads=threads, provider="cpu")) == chosen


@pytest.mark.parametrize("provider", ["cuda", "auto"])
def test_a_gpu_is_served_by_few_processes_of_two_threads(provider: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tasks, "_has_gpu_runtime", lambda: True)
    assert processes_and_threads(16, Settings(provider=provider, processes=0, threads=0)) == (2, 2)
    assert processes_and_threads(3, Settings(provider=provider, processes=0, threads=0)) == (1, 2)
    assert processes_and_threads(1, Settings(provider=provider, processes=0, threads=0)) == (1, 2)
    assert processes_and_threads(16, Settings(provider=provider, processes=2, threads=3)) == (2, 3)
    assert processes_and_threads(16, Settings(provider="cpu", processes=0, threads=0)) == (2, 8)
