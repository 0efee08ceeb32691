"""The fitness of a candidate: both of its terms, and how they are weighed, in this one place.

    mixed      (1 - alpha) * agreement + alpha * accuracy kept
    agreement  agreement alone
    regret     minus the regret of what the scores choose, the mean over the search networks

Agreement is the Spearman correlation with the truth (within strata of equal bytes for configurations), the
mean over the search networks. That the paper weighs two terms with alpha about 0.1 is known; which two, and
how, is not: this definition is ours. Without a measured accuracy the mixed fitness is the agreement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tap.allocate import allocate
from tap.search.config import Settings
from tap.search.nets import Net, Scores


def fitness(
    settings: Settings,
    agreement: Sequence[float],
    kept: Sequence[float | None] = (),
    regret: Sequence[float] = (),
) -> float:
    """Fitness from the values of each search network; larger is better.

    >>> round(fitness(Settings(alpha=0.1), [0.5, 0.7], [0.9, 0.9]), 3)
    0.63
    """
    if settings.fitness == "regret":
        return -float(np.mean(regret))
    mean = float(np.mean(agreement))
    known = [value for value in kept if value is not None]
    if settings.fitness == "agreement" or not known:
        return mean
    return (1.0 - settings.alpha) * mean + settings.alpha * float(np.mean(known))


def ceiling(settings: Settings, agreement: Sequence[float]) -> float:
    """The mixed fitness that this agreement could reach at best: with all accuracy kept."""
    return fitness(settings, agreement, [1.0])


def accuracy_kept(net: Net, scores: Scores) -> float | None:
    """Share of the accuracy that the choices of `scores` keep on `net`, in [0, 1]; None when not measured.

    `net.evaluate` says so where there is one. With configurations that carry an accuracy: the configuration
    with the smallest predicted loss of each stratum is picked, and its measured accuracy is taken relative to
    the best of the stratum. Nothing is predicted: every configuration was really quantized and measured.
    """
    if net.evaluate is not None:
        return float(net.evaluate(scores))
    if not net.by_configurations or not np.isfinite(net.target.accuracy).all():
        return None
    predicted, shares = net.predicted(scores), []
    for group in net.groups():
        accuracy = np.asarray(net.target.accuracy, dtype=float)[group]
        if accuracy.max() > 0:
            shares.append(float(accuracy[np.argmin(predicted[group])] / accuracy.max()))
    return float(np.mean(shares)) if shares else None


def regret(net: Net, scores: Scores) -> float | None:
    """Regret of what `scores` choose on `net`, see `tap.agreement.regret`; None where no choice can be wrong.

    Costs are bytes, under an even ladder of budgets between the smallest and the largest size.
    """
    return None if net.regret is None else net.regret(scores)


@dataclass
class PlanAccuracy:
    """Accuracy kept by the plans that scores lead to, each plan measured once.

    `measure` takes a choice [L] and gives the share of the accuracy that the really quantized network keeps;
    `costs` [L, F] and `budget` are those of the plan.
    """

    costs: NDArray[np.float64]
    budget: float
    measure: Callable[[NDArray[np.int64]], float]
    cache: dict[bytes, float] = field(default_factory=dict)

    def __call__(self, scores: Scores) -> float:
        """The share kept under the plan of `scores` [L, F]."""
        choice = allocate(scores, {"cost": self.costs}, {"cost": self.budget}).choice
        key = choice.tobytes()
        if key not in self.cache:
            self.cache[key] = float(self.measure(choice))
        return self.cache[key]
