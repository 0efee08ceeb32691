"""Controllers: which prompt to use next, learned from what the last ones gave.

An arm is one prompt kind (times one model when several are configured). A controller gives a distribution
over arms and is told the outcomes of each generation. `DPO` follows the second version of the paper: a
softmax policy, preference pairs, and a reference that follows slowly; the paper prints neither pairs nor
constants, so both are ours. The others stand beside it for comparison.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tap.errors import TapError

FLOOR = 0.05
"""Smallest probability of an arm, so that none is ever given up."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What one call gave: `gain` is the best child's fitness less that of its better parent."""

    arm: int
    gain: float

    @property
    def won(self) -> float:
        """1 when a child improved on its parents, else 0: the reward of the bandits."""
        return 1.0 if self.gain > 0.0 else 0.0


class Controller(Protocol):
    """The whole interface: a distribution, an update, and a state that JSON can hold."""

    n_arms: int
    floor: float

    def policy(self, random: np.random.Generator, pending: Vector) -> Vector:
        """Probability of each arm [A] for the next call; `pending[a]` calls of arm a are under way."""
        ...

    def update(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from the calls of one generation."""
        ...

    def state(self) -> dict[str, list[float]]:
        """All that was learned."""
        ...

    def restore(self, state: Mapping[str, Sequence[float]]) -> None:
        """Go on from what `state` gave."""
        ...


def choose(controller: Controller, random: np.random.Generator, pending: Vector) -> int:
    """Draw the arm of the next call from the controller's policy with the floor mixed in.

    >>> choose(Uniform(3), np.random.default_rng(0), np.zeros(3)) in (0, 1, 2)
    True
    """
    policy = with_floor(controller.policy(random, pending), controller.floor)
    return int(random.choice(controller.n_arms, p=policy))


def with_floor(policy: Vector, floor: float = FLOOR) -> Vector:
    """Mix `policy` with the uniform one so that no arm falls below `floor` (half a fair share at most).

    >>> with_floor(np.array([1.0, 0.0, 0.0])).round(3).tolist()
    [0.9, 0.05, 0.05]
    """
    n_arms = len(policy)
    floor = min(floor, 0.5 / n_arms)
    return np.asarray(floor + (1.0 - n_arms * floor) * policy / policy.sum())


class _Stateful:
    """State kept in the named vectors of the instance."""

    _vectors: tuple[str, ...] = ()
    floor = FLOOR

    def __init__(self, n_arms: int) -> None:
        self.n_arms = n_arms

    def state(self) -> dict[str, list[float]]:
        return {name: [float(value) for value in getattr(self, name)] for name in self._vectors}

    def restore(self, state: Mapping[str, Sequence[float]]) -> None:
        for name in self._vectors:
            setattr(self, name, np.array(state[name], dtype=float))


class Uniform(_Stateful):
    """Every arm alike."""

    def policy(self, random: np.random.Generator, pending: Vector) -> Vector:
        return np.full(self.n_arms, 1.0 / self.n_arms)

    def update(self, outcomes: Sequence[Outcome]) -> None:
        return None


class Fixed(Uniform):
    """Given weights, never changed, without a floor: a weight of 0 switches an arm off."""

    floor = 0.0

    def __init__(self, n_arms: int, *, weights: Sequence[float]) -> None:
        super().__init__(n_arms)
        self.weights = np.asarray(weights, dtype=float)
        if len(self.weights) != n_arms or not np.all(self.weights >= 0) or not self.weights.sum() > 0:
            raise TapError(
                f"the fixed controller needs {n_arms} weights that are not negative, and not all zero",
                hint="one weight an arm, for example fixed:1,2,1",
            )

    def policy(self, random: np.random.Generator, pending: Vector) -> Vector:
        return np.asarray(self.weights / self.weights.sum())


class DPO(_Stateful):
    """pi = softmax(theta); loss -log sigmoid(beta m), m = log pi(w)/pi_ref(w) - log pi(l)/pi_ref(l).

    With a softmax, m = (theta_w - theta_l) - (ref_w - ref_l), so one pair moves theta_w and theta_l by
    +- rate * beta * sigmoid(-beta m). Pairs are all two calls of a generation with different arms and
    different gains, each arm pair weighing the same however often it was drawn.
    """

    _vectors = ("theta", "reference")

    def __init__(self, n_arms: int, *, beta: float = 1.0, rate: float = 0.5, follow: float = 0.1) -> None:
        super().__init__(n_arms)
        self.beta, self.rate, self.follow = beta, rate, follow
        self.theta = np.zeros(n_arms)
        self.reference = np.zeros(n_arms)

    def policy(self, random: np.random.Generator, pending: Vector) -> Vector:
        exponentials = np.exp(self.theta - self.theta.max())
        return np.asarray(exponentials / exponentials.sum())

    def update(self, outcomes: Sequence[Outcome]) -> None:
        for (winner, loser), weight in _preferences(outcomes).items():
            margin = (self.theta[winner] - self.theta[loser]) - (
                self.reference[winner] - self.reference[loser]
            )
            step = self.rate * self.beta * weight / (1.0 + math.exp(min(self.beta * margin, 500.0)))
            self.theta[winner] += step
            self.theta[loser] -= step
        self.reference += self.follow * (self.theta - self.reference)


class Exp3(_Stateful):
    """Exponential weights over importance-weighted rewards (Auer et al. 2002), with the floor as mixing."""

    _vectors = ("weights",)

    def __init__(self, n_arms: int, *, rate: float = 0.1) -> None:
        super().__init__(n_arms)
        self.rate = rate
        self.weights = np.zeros(n_arms)

    def policy(self, random: np.random.Generator, pending: Vector) -> Vector:
        exponentials = np.exp(self.weights - self.weights.max())
        return np.asarray(exponentials / exponentials.sum())

    def update(self, outcomes: Sequence[Outcome]) -> None:
        drawn_from = with_floor(self.policy(np.random.default_rng(0), np.zeros(self.n_arms)))
        for outcome in outcomes:
            self.weights[outcome.arm] += self.rate * outcome.won / drawn_from[outcome.arm]


class UCB(_Stateful):
    """Largest mean reward plus sqrt(width ln t / n) (Auer et al. 2002); calls under way count in n and t."""

    _vectors = ("pulls", "wins")

    def __init__(self, n_arms: int, *, width: float = 0.5) -> None:
        super().__init__(n_arms)
        self.width = width
        self.pulls = np.zeros(n_arms)
        self.wins = np.zeros(n_arms)

    def policy(self, random: np.random.Generator, pending: Vector) -> Vector:
        pulls = self.pulls + pending
        if pulls.min() == 0:
            best = int(pulls.argmin())
        else:
            mean = self.wins / np.maximum(self.pulls, 1.0)
            best = int(np.argmax(mean + np.sqrt(self.width * math.log(pulls.sum()) / pulls)))
        return _one_hot(best, self.n_arms)

    def update(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.pulls[outcome.arm] += 1.0
            self.wins[outcome.arm] += outcome.won


class Thompson(_Stateful):
    """Beta posteriors whose counts fade by `discount` every eight calls; the largest sample is drawn."""

    _vectors = ("wins", "losses")

    def __init__(self, n_arms: int, *, discount: float = 0.92) -> None:
        super().__init__(n_arms)
        self.discount = discount
        self.wins = np.zeros(n_arms)
        self.losses = np.zeros(n_arms)

    def policy(self, random: np.random.Generator, pending: Vector) -> Vector:
        return _one_hot(int(np.argmax(random.beta(1.0 + self.wins, 1.0 + self.losses))), self.n_arms)

    def update(self, outcomes: Sequence[Outcome]) -> None:
        fade = self.discount ** (len(outcomes) / 8.0)
        self.wins *= fade
        self.losses *= fade
        for outcome in outcomes:
            self.wins[outcome.arm] += outcome.won
            self.losses[outcome.arm] += 1.0 - outcome.won


NAMES = ("thompson", "dpo", "exp3", "ucb", "uniform", "fixed:W,W,...")


def build(name: str, n_arms: int) -> Controller:
    """The controller of that name with its default constants; `fixed:1,2,1` carries its weights.

    >>> build("dpo", 3).policy(np.random.default_rng(0), np.zeros(3)).round(3).tolist()
    [0.333, 0.333, 0.333]
    """
    plain: dict[str, type[DPO] | type[Exp3] | type[UCB] | type[Thompson] | type[Uniform]] = {
        "dpo": DPO,
        "exp3": Exp3,
        "ucb": UCB,
        "thompson": Thompson,
        "uniform": Uniform,
    }
    if name in plain:
        return plain[name](n_arms)
    kind, _, text = name.partition(":")
    if kind == "fixed":
        try:
            weights = [float(part) for part in text.split(",")]
        except ValueError:
            weights = []
        return Fixed(n_arms, weights=weights)
    raise TapError(f"there is no controller '{name}'", hint="one of " + ", ".join(NAMES))


def _preferences(outcomes: Sequence[Outcome]) -> dict[tuple[int, int], float]:
    """How often arm w beat arm l, as a share of the decided comparisons of the two arms."""
    wins: dict[tuple[int, int], float] = {}
    for first in outcomes:
        for second in outcomes:
            if first.arm != second.arm and first.gain > second.gain:
                pair = (first.arm, second.arm)
                wins[pair] = wins.get(pair, 0.0) + 1.0
    return {
        (winner, loser): count / (count + wins.get((loser, winner), 0.0))
        for (winner, loser), count in sorted(wins.items())
    }


def _one_hot(index: int, size: int) -> Vector:
    vector = np.zeros(size)
    vector[index] = 1.0
    return vector
