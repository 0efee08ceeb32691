"""The rank kernels on their own: Spearman, Kendall, weighted tau and top-k overlap."""

from __future__ import annotations

from tap.agreement import kendall, spearman, topk, weighted_tau

__all__ = ["kendall", "spearman", "topk", "weighted_tau"]
