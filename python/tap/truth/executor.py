"""Where measurements run: in this process, in processes of this machine (one a GPU), or on a Ray cluster.

A task says once what all jobs share (model, data, formats) and is started once in each worker; a job is
small. To run elsewhere, write a class with the `run` of `Executor` and pass an instance.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tap.errors import ModelError, TapError, require_extra

Result = tuple[str, NDArray[np.float64]]
"""A journal key and its values."""
Work = Callable[[Any], Iterator[Result]]
"""From a job to its results, each yielded as soon as it is known."""


class Task(Protocol):
    """What all jobs of one measurement share; it must be picklable for other processes."""

    def started(self, device: str | None = None) -> AbstractContextManager[Work]:
        """Make ready, on `device` or where the model is; leaving puts everything back."""
        ...


class Executor(Protocol):
    """Runs the jobs of a task, in any order, and yields their results as they come."""

    def run(self, task: Task, jobs: Sequence[Any]) -> Iterator[Result]:
        """Yield the results of all jobs."""
        ...


class Local:
    """One job after the other in this process."""

    def run(self, task: Task, jobs: Sequence[Any]) -> Iterator[Result]:
        """Yield each result at once."""
        if jobs:
            with task.started() as work:
                for job in jobs:
                    yield from work(job)


class Processes:
    """A pool of processes; with CUDA one for each GPU, otherwise `n` that share the cores."""

    def __init__(self, n: int | None = None) -> None:
        """`n` defaults to the GPUs, or to the cores (at most eight)."""
        gpus = torch.cuda.device_count()
        self.n = n or gpus or min(8, os.cpu_count() or 1)
        self.devices = [f"cuda:{i % gpus}" if gpus else "cpu" for i in range(self.n)]

    def run(self, task: Task, jobs: Sequence[Any]) -> Iterator[Result]:
        """Yield the results of each job when the job ends."""
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        if not jobs:
            return
        devices = context.Queue()
        for device in self.devices:
            devices.put(device)
        threads = max(1, (os.cpu_count() or 1) // self.n)
        try:
            with context.Pool(self.n, _start, (_pickled(task), devices, threads)) as pool:
                for results, error in pool.imap_unordered(_finish, jobs):
                    if error is not None:
                        raise error
                    yield from results
        finally:
            devices.close()


class Ray:
    """Actors of a Ray cluster, one a GPU where it has GPUs; needs the extra `ray`."""

    def __init__(self, n: int | None = None) -> None:
        """`n` actors; by default one a GPU, or one a core of the cluster."""
        require_extra("ray", extra="ray", why="the Ray executor")
        self.n = n

    def run(self, task: Task, jobs: Sequence[Any]) -> Iterator[Result]:
        """Yield the results of each job when the job ends; starts a local Ray where none runs."""
        ray: Any = import_module("ray")
        ray_util: Any = import_module("ray.util")
        if not jobs:
            return
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False)
        found = ray.cluster_resources()
        gpus = int(found.get("GPU", 0))
        n = min(len(jobs), self.n or gpus or max(1, int(found.get("CPU", 1))))
        actor = ray.remote(num_gpus=1 if gpus else 0, num_cpus=0 if gpus else 1)(_Actor)
        shared = ray.put(_pickled(task))
        actors = [actor.remote(shared, "cuda:0" if gpus else "cpu") for _ in range(n)]
        try:
            pool = ray_util.ActorPool(actors)
            for results, error in pool.map_unordered(lambda a, job: a.finish.remote(job), list(jobs)):
                if error is not None:
                    raise error
                yield from results
        finally:
            for one in actors:
                ray.kill(one)


def executor_of(executor: Executor | str | None) -> Executor:
    """An executor from None, "local", "processes", "processes:N", "ray", "ray:N", or one itself.

    >>> executor_of("processes:3").n
    3
    """
    if executor is None or executor == "local":
        return Local()
    if not isinstance(executor, str):
        return executor
    name, _, count = executor.partition(":")
    kinds: dict[str, type[Processes] | type[Ray]] = {"processes": Processes, "ray": Ray}
    if name not in kinds or (count and not (count.isdigit() and int(count) > 0)):
        raise TapError(f"unknown executor '{executor}'", hint="local, processes, processes:4, ray, or ray:4")
    return kinds[name](int(count) if count else None)


def _pickled(task: Task) -> bytes:
    """The task as bytes, by the pickler of the cluster libraries where there is one: it takes closures."""
    import pickle

    try:
        return pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ModelError(
            f"the model or loss cannot be sent to another process: {error}",
            hint="define its class and functions at the top level of a module, or use executor='local'",
        ) from error


_work: Work | None = None
"""The started task of a worker process."""


def _start(pickled: bytes, devices: Any, threads: int) -> None:
    """Start the task in a fresh worker process; it stays started until the process ends."""
    import pickle

    global _work
    torch.set_num_threads(threads)
    task: Task = pickle.loads(pickled)
    _work = task.started(devices.get()).__enter__()


def _finish(job: Any) -> tuple[list[Result], TapError | None]:
    """All results of a job, or the error it ended with."""
    assert _work is not None
    return _all(_work, job)


class _Actor:
    """A worker on a Ray cluster."""

    def __init__(self, pickled: bytes, device: str) -> None:
        import pickle

        task: Task = pickle.loads(pickled)
        self._context = task.started(device)
        self._work = self._context.__enter__()

    def finish(self, job: Any) -> tuple[list[Result], TapError | None]:
        """All results of a job, or the error it ended with."""
        return _all(self._work, job)


def _all(work: Work, job: Any) -> tuple[list[Result], TapError | None]:
    """Results, or an error that pickles: only its message and hint travel."""
    try:
        return list(work(job)), None
    except TapError as error:
        return [], ModelError(error.message, hint=error.hint)
