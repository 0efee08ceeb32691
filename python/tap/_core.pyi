"""The Rust core: proxy programs, rank correlation and bit allocation."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["__version__", "kendall", "spearman", "top_k", "weighted_tau"]

__version__: str

def spearman(scores: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's rho of each row of `scores` against `target`."""

def kendall(scores: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kendall's tau-b of each row of `scores` against `target`."""

def weighted_tau(scores: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted tau of each row of `scores` against `target`."""

def top_k(scores: NDArray[np.float64], target: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Overlap of the `k` largest values of each row of `scores` with those of `target`."""
