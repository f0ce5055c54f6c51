"""Many trials at once: on the cores of one machine, or on a cluster, through joblib.

A sweep is a run whose trials are spread over workers. This process keeps the journal: a trial is
written down when its result arrives, so a killed worker costs only what it was at work on, and a
second start of the same sweep does only what is missing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from linfcourse.experiments.experiment import Runner, RunOne

BACKENDS = ("loky", "threading", "dask")
# A pool whose worker is killed is made anew, so often in a row without one finished trial.
_PATIENCE = 3


def joblib_runner(jobs: int = -1, backend: str = "loky", scheduler: str | None = None) -> Runner:
    """A runner for `Experiment.run` that hands trials to workers.

    A worker that is killed costs the trial it was at work on, which another one starts again.

    Args:
        jobs: how many at once; -1 takes every core (with a scheduler: every worker it has).
        backend: "loky" (processes on this machine), "threading", or "dask" (a cluster).
        scheduler: address of a Dask cluster, such as "tcp://10.0.0.1:8786", whose workers have this
            library installed. None starts one on this machine.

    Raises:
        ValueError: unknown backend; jobs is 0; a scheduler where none is used.
        ModuleNotFoundError: joblib, or the backend's package, is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if jobs == 0 or jobs < -1:
        raise ValueError(f"jobs must be a positive number, or -1 for all cores; got {jobs}")
    if scheduler is not None and backend != "dask":
        raise ValueError(f"scheduler goes with backend dask, not with {backend!r}")
    joblib = _require("joblib", "sweep")

    def run(run_one: RunOne, settings: Sequence[dict[str, Any]]) -> Iterator:
        left = list(settings)
        if not left:
            return
        with _cluster(backend, scheduler, jobs), joblib.parallel_config(backend, n_jobs=jobs):
            failures = 0
            while left:
                parallel = joblib.Parallel(return_as="generator_unordered")
                try:
                    for setting, result, took in parallel(
                        joblib.delayed(_one_thread)(run_one, setting) for setting in list(left)
                    ):
                        left.remove(setting)
                        failures = 0
                        yield setting, result, took
                except _killed_worker() as error:
                    failures += 1
                    if failures == _PATIENCE:
                        raise RuntimeError(
                            f"{failures} workers were killed one after another while {len(left)} "
                            "trials were left (out of memory?). Finished trials are kept: start "
                            "the same sweep again, with fewer --jobs"
                        ) from error

    return run


def _one_thread(run_one: RunOne, setting: dict[str, Any]):
    """One trial in a worker, on one thread: the workers already share the cores."""
    torch.set_num_threads(1)
    return run_one(setting)


def _killed_worker() -> type[BaseException]:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    return TerminatedWorkerError


@contextmanager
def _cluster(backend: str, scheduler: str | None, jobs: int) -> Iterator[None]:
    """Connected to a Dask cluster where one is asked for; only what was started here is ended."""
    if backend != "dask":
        yield
        return
    dask = _require("distributed", "dask")
    size = {"n_workers": None if jobs < 0 else jobs, "threads_per_worker": 1}
    with dask.Client(scheduler, **({} if scheduler else size)):
        yield


def _require(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name != module.split(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"{module} is not installed: install the extra `{extra}` of linfcourse, "
            f"`pip install '.[{extra}]'` in a clone of the course"
        ) from None
