"""What every peer is given and gives back; read by scripts that run in the peers' own environments.

A job is JSON on standard input: the example file, the name of the network, the folder of its data, the bits
to choose from, the average bits wanted, and how many images to use. The answer is one line of JSON.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


@dataclass
class Job:
    """One job, with its network and images loaded on demand."""

    file: str
    network: str
    data: str
    bits: list[int]
    averages: list[float]
    samples: int
    evaluated: int
    batch: int = 16
    """Images of a calibration batch."""

    @staticmethod
    def read() -> Job:
        """The job on standard input."""
        return Job(**json.loads(sys.stdin.read()))

    def model(self) -> nn.Module:
        """The network in full precision, in evaluation mode."""
        return getattr(self._example(), self.network)(self.data)

    def calibration(self) -> list[Batch]:
        """Images that the peer may read."""
        return self._split(self._example().calibration(self.data, samples=self.samples), self.batch)

    def evaluation(self, batch: int = 125) -> list[Batch]:
        """Images to judge on."""
        return self._split(self._example().evaluation(self.data, samples=self.evaluated), batch)

    def top1(self, model: Callable[[Tensor], Any]) -> float:
        """Top-1 of any callable on the images to judge on."""
        right = count = 0
        with torch.no_grad():
            for images, labels in self.evaluation():
                right += int((model(images).argmax(1) == labels).sum())
                count += len(labels)
        return right / count

    def _example(self) -> Any:
        spec = importlib.util.spec_from_file_location("example", self.file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @staticmethod
    def _split(batches: list[Batch], batch: int) -> list[Batch]:
        return [pair for x, y in batches for pair in zip(x.split(batch), y.split(batch), strict=True)]


def answer(name: str, version: str, run: Callable[[Job], dict[str, Any]]) -> None:
    """Run a peer on the job and print what it chose: bits of each unit, by average bits wanted."""
    job = Job.read()
    torch.manual_seed(0)
    started = time.perf_counter()
    found = run(job)
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peer": name, "version": version, "seconds": seconds, "megabytes": memory, **found}))
