"""A benchmark of bit configurations: random ones with their measured accuracy, as a small text file.

In the spirit of MQ-Bench-101 (Dong et al., EMQ, ICCV 2023), which was not published: a proxy predicts the
accuracy of whole configurations, and is judged by the rank correlation among those that it ranks highest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tap.errors import TableError
from tap.files import write_text
from tap.rank import kendall, spearman

RATIOS = (0.2, 0.5, 1.0)
"""Parts of the configurations, the ones predicted best, that the correlation is taken over."""
_MARK, _SUM = "# tap bits 1", "# sha256 "


@dataclass(frozen=True)
class Bits:
    """M configurations of L units with measured accuracy and loss.

    >>> found = Bits("net", "", ("a", "b"), ("int2", "int4"), np.array([[0, 1]]), np.ones(1), np.zeros(1))
    >>> Bits.read(found.text()).choice.tolist()
    [[0, 1]]
    """

    name: str
    """What it is of: network, data, samples."""
    fingerprint: str
    """Identity of the model."""
    units: tuple[str, ...]
    formats: tuple[str, ...]
    choice: NDArray[np.int64]
    """[M, L]: index of each unit's format."""
    accuracy: NDArray[np.float64]
    """[M]: top-1 of the really quantized network."""
    loss: NDArray[np.float64]
    """[M]: KL to full precision."""

    def text(self) -> str:
        """The file: a head of comments, `formats:accuracy:loss` a line, and the checksum of all above."""
        head = {"name": self.name, "fingerprint": self.fingerprint, "units": self.units}
        lines = [_MARK, "# " + json.dumps({**head, "formats": self.formats})]
        for row, accuracy, loss in zip(self.choice, self.accuracy, self.loss, strict=True):
            formats = ",".join(self.formats[place] for place in row)
            lines.append(f"{formats}:{accuracy:.6f}:{loss:.6g}")
        body = "\n".join(lines) + "\n"
        return f"{body}{_SUM}{hashlib.sha256(body.encode()).hexdigest()}\n"

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        write_text(path, self.text())

    @staticmethod
    def load(path: str | Path) -> Bits:
        """Read a file; one that is damaged or of another kind is a `TableError`."""
        try:
            return Bits.read(Path(path).read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise TableError(f"{path} is not a file of bit configurations") from error

    @staticmethod
    def read(text: str) -> Bits:
        """The text of a file; a wrong checksum is a `TableError`."""
        body, mark, found = text.rpartition(_SUM)
        if not body.startswith(_MARK) or not mark:
            raise TableError("this is not a file of bit configurations", hint="it begins with '# tap bits 1'")
        if hashlib.sha256(body.encode()).hexdigest() != found.strip():
            raise TableError("the checksum of the bit configurations is wrong", hint="fetch the file again")
        try:
            _, head, *lines = body.splitlines()
            known = json.loads(head.removeprefix("# "))
            formats = tuple(known["formats"])
            rows = [line.split(":") for line in lines]
            choice = [[formats.index(name) for name in row[0].split(",")] for row in rows]
            measured = np.array([[float(value) for value in row[1:]] for row in rows])
            return Bits(
                known["name"],
                known["fingerprint"],
                tuple(known["units"]),
                formats,
                np.array(choice, np.int64),
                measured[:, 0],
                measured[:, 1],
            )
        except (ValueError, KeyError, IndexError) as error:
            raise TableError(f"the bit configurations cannot be read: {error}") from error


def draw(units: int, formats: int, n: int, *, seed: int = 0) -> NDArray[np.int64]:
    """`n` different configurations [n, L], every unit's format drawn evenly from all.

    >>> draw(4, 3, 5).shape
    (5, 4)
    """
    rng = np.random.default_rng(seed)
    found: dict[bytes, NDArray[np.int64]] = {}
    for _ in range(100 * n):
        row = rng.integers(formats, size=units)
        found.setdefault(row.tobytes(), row)
        if len(found) == n:
            break
    return np.stack(list(found.values()))


def predicted(scores: NDArray[np.float64], bits: Bits) -> NDArray[np.float64]:
    """What scores [L, F] say of each configuration: minus their sum, so that more is better."""
    return np.asarray(-scores[np.arange(len(bits.units)), bits.choice].sum(axis=1))


def at_top(
    prediction: NDArray[np.float64], accuracy: NDArray[np.float64], ratios: Sequence[float] = RATIOS
) -> list[tuple[float, float]]:
    """Spearman and Kendall among the best predicted part of the configurations, one pair a ratio.

    As EMQ defines it: sort by prediction, keep the best part, correlate prediction and accuracy inside it.

    >>> at_top(np.array([4.0, 3.0, 2.0, 1.0]), np.array([0.9, 0.8, 0.1, 0.2]), (0.5, 1.0))[0]
    (1.0, 1.0)
    """
    order = np.argsort(-prediction, kind="stable")
    found = []
    for ratio in ratios:
        kept = order[: max(2, round(ratio * len(order)))]
        one, other = prediction[kept], accuracy[kept]
        found.append((float(spearman(one, other)), float(kendall(one, other))))
    return found
