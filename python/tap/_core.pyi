"""The Rust core: proxy programs, rank correlation and bit allocation."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "KeptKnapsack",
    "ParetoPoints",
    "Program",
    "Table",
    "Truth",
    "__version__",
    "add_outer",
    "compensate",
    "compile",
    "constants",
    "error_json",
    "error_kinds",
    "fit_scales",
    "format_source",
    "grammar",
    "grid_errors",
    "inputs",
    "kendall",
    "knapsack",
    "knapsack_instance",
    "lift",
    "limits",
    "operators",
    "random_programs",
    "screen_programs",
    "spearman",
    "top_k",
    "typed_grammar",
    "vary",
    "weighted_tau",
]

__version__: str

def spearman(scores: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's rho of each row of `scores` against `target`."""

def kendall(scores: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kendall's tau-b of each row of `scores` against `target`."""

def weighted_tau(scores: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted tau of each row of `scores` against `target`."""

def top_k(scores: NDArray[np.float64], target: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Overlap of the `k` largest values of each row of `scores` with those of `target`."""

@final
class Program:
    """A compiled program of the proxy language."""

    @property
    def hash(self) -> str:
        """Canonical identity, 32 hexadecimal digits."""
    @property
    def axes(self) -> list[str]:
        """Axes of the score: nothing, or format."""
    @property
    def inputs(self) -> list[str]:
        """Names of the inputs it reads."""
    @property
    def ops(self) -> int:
        """Number of operators after equal subexpressions are merged."""
    @property
    def notes(self) -> list[tuple[int, int, str]]:
        """What the parser put right, as (start, end, message)."""
    def listing(self) -> str:
        """The instructions as text."""
    def score(self, table: Table) -> NDArray[np.float64]:
        """Scores [L, F]; ProxyError when they are not finite, an input is missing or a limit is passed."""

@final
class Table:
    """A layer table as the core reads it."""

    def __new__(
        cls,
        units: Sequence[str],
        formats: int,
        whole: NDArray[np.int64],
        sampled: NDArray[np.int64],
        columns: Sequence[tuple[str, NDArray[np.float64]]],
        samples: Sequence[tuple[str, Sequence[str], NDArray[np.float32]]],
    ) -> Table:
        """Sizes [L, 3] of (out, in, pos), whole and sampled; samples are flat, unit after unit."""

def compile(
    source: str,
    columns: Sequence[tuple[str, Sequence[str]]] | None = None,
    limits: Mapping[str, int] | None = None,
) -> Program:
    """Compile one program; `columns` are the user's own inputs as (name, axes)."""

def error_json(source: str, kind: str, span: tuple[int, int], message: str, hint: str) -> str:
    """An error as JSON: kind, message, hint, span, line, column, report."""

def operators() -> list[dict[str, Any]]:
    """The operators, each as a dictionary: name, kind, call, arguments, cost, doc."""

def inputs() -> list[tuple[str, list[str], str]]:
    """The inputs, each as (name, axes, doc)."""

def constants() -> list[tuple[str, float, str]]:
    """The named constants, each as (name, value, doc)."""

@final
class Truth:
    """What scores are judged by."""

    @staticmethod
    def sensitivity(
        values: NDArray[np.float64],
        places: NDArray[np.uint32],
        formats: int,
        costs: NDArray[np.int64],
        budgets: Sequence[int],
    ) -> Truth:
        """Measured values [F, L] in one row; where the score of each stands in a table [F, L]; their costs.

        With `budgets` (largest sums of costs) scores are judged by regret too.
        """
    @staticmethod
    def configurations(
        places: NDArray[np.uint32], loss: NDArray[np.float64], stratum: NDArray[np.int64]
    ) -> Truth:
        """Configurations as places [M, L] in a table of scores [F, L], with losses and strata [M]."""

    def regret(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The regret [N] of scores [N, F * L]; NaN where one is not finite, and without budgets."""

def limits() -> list[tuple[str, int]]:
    """The limits of a program, each as (name, default)."""

def error_kinds() -> list[str]:
    """Codes of the errors of a program, in the order of their numbers in a screening, which start at 1."""

def screen_programs(
    sources: Sequence[str],
    pairs: Sequence[tuple[Table, Truth]],
    threads: int,
    limits: Mapping[str, int] | None = None,
) -> dict[str, NDArray[Any]]:
    """Screens programs against pairs of tables and truths; KeyboardInterrupt ends it between tiles."""

_Cost = tuple[NDArray[np.int64], int] | tuple[NDArray[np.float64], float]

def knapsack(
    loss: NDArray[np.float64],
    costs: list[_Cost],
    allowed: NDArray[np.bool_],
    groups: NDArray[np.uint32],
    goal: str,
    time_limit: float | None,
    node_limit: int | None,
    pairs: tuple[NDArray[np.uint32], NDArray[np.float64]] | None = None,
) -> tuple[str, NDArray[np.uint32], float, float, list[float], int]:
    """Solves one problem: (status, choice, objective, bound, prices, nodes).

    `pairs` are rows (unit, format, unit, format) [N, 4] and the value [N] of each, added to the loss when
    both are chosen. The goal is then the sum. With status "infeasible" the smallest achievable costs stand in
    the place of the prices.
    """

@final
class ParetoPoints:
    """All Pareto points of one cost."""

    def __new__(
        cls,
        loss: NDArray[np.float64],
        cost: _Cost,
        allowed: NDArray[np.bool_],
        groups: NDArray[np.uint32],
        time_limit: float | None,
        node_limit: int | None,
    ) -> ParetoPoints: ...
    @property
    def complete(self) -> bool:
        """False when a limit ended the work, which leaves no points."""
    @property
    def cost(self) -> NDArray[np.float64]:
        """Total cost of each point, rising."""
    @property
    def loss(self) -> NDArray[np.float64]:
        """Total loss of each point, falling."""
    @property
    def supported(self) -> NDArray[np.bool_]:
        """Whether each point lies on the lower convex hull."""
    def choice(self, point: int) -> NDArray[np.uint32]:
        """Format of every unit in a point."""

@final
class KeptKnapsack:
    """One budget with its reductions, solved as often as wanted."""

    def __new__(
        cls,
        loss: NDArray[np.float64],
        cost: _Cost,
        allowed: NDArray[np.bool_],
        groups: NDArray[np.uint32],
        lexicographic: bool,
    ) -> KeptKnapsack: ...
    def solve(
        self, budget: float, time_limit: float | None, node_limit: int | None
    ) -> tuple[NDArray[np.uint32], float, float, int, bool] | None:
        """(choice, objective minus bound, price, nodes, optimal), or None when nothing fits."""

def knapsack_instance(
    family: str, units: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """A generated problem of family "cnn" or "llm": (loss, bytes, bops, latency), each [units, 7]."""

def format_source(source: str, limits: Mapping[str, int] | None = None) -> str:
    """The canonical print of a program: parsing it again and printing changes nothing."""

def grammar(format: str) -> str:
    """The grammar for constrained generation: "gbnf", "lark" or "json-schema"."""

_Columns = Sequence[tuple[str, Sequence[str]]]

def typed_grammar(inputs: Sequence[str], depth: int, columns: _Columns | None = None) -> str:
    """The grammar (GBNF) of programs that all compile: one expression of `inputs`, operators `depth` deep."""

def random_programs(
    seed: int,
    count: int,
    ops: int,
    inputs: Sequence[str] | None = None,
    columns: _Columns | None = None,
) -> list[str]:
    """`count` random well-typed programs of about `ops` operators, reading `inputs` (all when None).

    `columns` are the user's own inputs as (name, axes).
    """

def vary(
    seed: int,
    parents: Sequence[str],
    count: int,
    inputs: Sequence[str] | None = None,
    columns: _Columns | None = None,
    limits: Mapping[str, int] | None = None,
    threads: int = 1,
) -> tuple[list[str], NDArray[np.int64]]:
    """`count` offspring of programs, each valid and unlike its first parent, and the place of that parent.

    The place is -1 for a program made anew. The same whatever the number of threads (0: all cores).
    """

def lift(
    source: str,
    columns: _Columns | None = None,
    limits: Mapping[str, int] | None = None,
) -> tuple[str, list[tuple[str, str]]]:
    """A program with its statistics over samples replaced by names, and those as (name, expression)."""

def fit_scales(
    rows: NDArray[np.float32],
    steps: NDArray[np.float32],
    half: int,
    bins: int,
    starts: tuple[int, int],
    threads: int,
) -> NDArray[np.float32]:
    """The scale of each row by least squared error, for codes from `-half` to `half - 1`.

    `steps` are the scales to try, as parts of a row's largest magnitude: on a histogram of `bins` bins, with
    0 on the values themselves. `starts`: how many of the best go on, and for how many exchanges of codes and
    scale. 0 threads: all cores.
    """

def add_outer(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    total: NDArray[np.float32],
    square: NDArray[np.float32],
    threads: int,
) -> None:
    """Add the sums over samples n of g_n = a_n^T b_n to `total` and of g_n^2 to `square` [rows, columns].

    `a` is [samples, positions, rows], `b` [samples, positions, columns]. 0 threads: all cores.
    """

def grid_errors(
    rows: NDArray[np.float32], scales: NDArray[np.float32], half: int, out: NDArray[np.float32]
) -> None:
    """Write the error clamp(round(w / s)) * s - w of each row to `out`; codes run from -half to half - 1."""

def compensate(
    rows: NDArray[np.float32],
    upper: NDArray[np.float32],
    grid: tuple[NDArray[np.float32], NDArray[np.float32], int, float, float],
    nearest: bool,
    threads: int,
) -> float:
    """Replace rows [G, R, C] by their values on the grid, compensated or the nearest; the sum of |e|^2.

    U is [G, C, C]. The grid is scales and zero points [G * R, groups of columns], the columns of a group, and
    the lowest and the highest code. 0 threads: all cores.
    """
