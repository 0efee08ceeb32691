"""Random well-typed proxy programs, as source text that is also valid Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

INPUTS: dict[frozenset[str], tuple[str, ...]] = {
    frozenset(axes.split()): tuple(names.split())
    for axes, names in {
        "": "numel macs depth index n_layers out_channels in_channels kernel stride groups is_conv is_linear "
        "is_depthwise is_first is_last trace lambda_max cka_sum plain w_norm2 act_mean act_absmax z_std",
        "format": "bits bytes act_bits dw2 dw_max fisher_dw2 gdw gdw_abs gdw2 logit_dw2 out_noise gz_noise "
        "comp_gz_noise comp_logit_gz comp_logit_dw2 act_noise gx_noise",
        "out in pos": "w g g2 h hg synflow vgrad",
        "format out in pos": "dw",
        "in": "x_mean x_var x_absmax x_sq",
        "out": "z_mean z_var gz2 fisher_z",
    }.items()
}
WORDS = {"out": "out", "in": "in_", "pos": "pos", "format": "format"}
SPATIAL = frozenset({"out", "in", "pos"})


@dataclass(frozen=True)
class Vocabulary:
    """The operators a generator may use."""

    unary: Sequence[str]
    binary: Sequence[str]
    reductions: Sequence[str]
    network: Sequence[str]
    literals: Sequence[str]
    powers: Sequence[str] = ()
    quantiles: Sequence[str] = ()


def _words(text: str) -> list[str]:
    return text.split()


ALL = Vocabulary(
    unary=_words("abs sign sqrt square exp log log1p log2 log10 expm1 tanh sigmoid relu reciprocal -"),
    binary=_words("+ - * / + - * / + * < <= > >= == != ** min max pow"),
    reductions=_words("sum mean var std norm1 norm2 count min max median entropy kurtosis"),
    network=_words(
        "rank zscore minmax softmax net_sum net_mean net_max net_min net_std cumsum suffix_mean prev next"
    ),
    literals=_words("0 1 2 3 .5 1e-8 0.1 2.5e3 1e30 7. pi e eps 100"),
    powers=_words("2 0.5 1 -1 3 4 5 8 -2 1.5 0"),
    quantiles=_words("0 0.25 0.5 .9 1"),
)
"""The whole language."""

EXACT = Vocabulary(
    unary=_words("abs sign relu -"),
    binary=_words("+ - * < <= > >= == != min max"),
    reductions=_words("sum min max count median"),
    network=_words("rank net_sum net_max net_min cumsum prev next"),
    literals=_words("0 1 2 3 0.5 4"),
)
"""Operators that round nothing when the numbers are small multiples of a power of two."""


@dataclass
class Generator:
    """Writes one program; every choice comes from `rng`."""

    rng: random.Random
    vocabulary: Vocabulary = ALL
    bound: dict[str, frozenset[str]] = field(default_factory=dict)

    def program(self, *, depth: int = 4) -> str:
        """A few bindings and a score of axes {} or {format}."""
        lines = []
        for _ in range(self.rng.choice([0, 0, 1, 1, 2, 3])):
            axes = self.some_subset(("format", "out", "in", "pos"))
            # A name of the table may be shadowed; a bound name may be bound again.
            name = self.rng.choice(["a", "b2", "_c", "trace", "w", "bits", *self.bound])
            text = self.expression(axes, self.rng.randint(1, depth))
            lines.append(f"{name} = {text}")
            self.bound[name] = axes
        axes = frozenset(self.rng.choice([["format"], ["format"], []]))
        text = self.expression(axes, depth)
        lines.append(text if self.rng.random() < 0.2 else f"score = {text}")
        return "\n".join(lines) + "\n"

    def some_subset(self, axes: Sequence[str]) -> frozenset[str]:
        return frozenset(axis for axis in axes if self.rng.random() < 0.5)

    def expression(self, axes: frozenset[str], depth: int) -> str:
        """An expression that has exactly these axes."""
        if depth <= 0 or self.rng.random() < 0.1:
            return self.leaf(axes)
        makers = [self.unary, self.binary, self.binary, self.binary, self.choice]
        if axes != SPATIAL | {"format"}:
            makers += [self.reduction, self.reduction]
        if axes <= {"format"}:
            makers += [self.network, self.network]
        return self.rng.choice(makers)(axes, depth - 1)

    def leaf(self, axes: frozenset[str]) -> str:
        """An input, a bound name or a literal; where none has these axes, a product of some that do."""
        names = [name for name in INPUTS.get(axes, ()) if name not in self.bound]
        names += [name for name, have in self.bound.items() if have == axes] * 3
        if not axes and self.rng.random() < 0.4:
            return self.rng.choice(self.vocabulary.literals)
        if names:
            return self.rng.choice(names)
        first, *rest = sorted(axes)
        if first == "pos" and not rest:
            return f"{self.rng.choice(['max', 'min'])}({self.leaf(SPATIAL)}, in_, out)"
        return f"({self.leaf(frozenset([first]))} * {self.leaf(frozenset(rest))})"

    def unary(self, axes: frozenset[str], depth: int) -> str:
        op = self.rng.choice(self.vocabulary.unary)
        inner = self.expression(axes, depth)
        if self.vocabulary.powers and self.rng.random() < 0.15:
            return f"({inner}) ** {self.rng.choice(self.vocabulary.powers)}"
        return f"-({inner})" if op == "-" else f"{op}({inner})"

    def parts(self, axes: frozenset[str], count: int) -> list[frozenset[str]]:
        """Axes of operands whose union is `axes`."""
        parts = [self.some_subset(sorted(axes)) for _ in range(count)]
        parts[self.rng.randrange(count)] = axes
        return parts

    def binary(self, axes: frozenset[str], depth: int) -> str:
        op = self.rng.choice(self.vocabulary.binary)
        left, right = (self.expression(part, depth) for part in self.parts(axes, 2))
        if op.isidentifier():
            return f"{op}({left}, {right})"
        if self.rng.random() < 0.3:
            return f"{left} {op} {right}" if op in "+-*/" else f"(({left}) {op} ({right}))"
        return f"(({left}) {op} ({right}))"

    def choice(self, axes: frozenset[str], depth: int) -> str:
        name = self.rng.choice(["where", "clip", "min", "max"])
        arguments = [self.expression(part, depth) for part in self.parts(axes, 3)]
        return f"{name}({', '.join(arguments)})"

    def reduction(self, axes: frozenset[str], depth: int) -> str:
        """Reduce something that has `axes` and at least one axis more."""
        missing = sorted((SPATIAL | {"format"}) - axes)
        removed = self.some_subset(missing) or frozenset([self.rng.choice(missing)])
        inner = self.expression(axes | removed, depth)
        extra = ""
        name = self.rng.choice(self.vocabulary.reductions)
        if self.vocabulary.quantiles and self.rng.random() < 0.1:
            name, extra = "quantile", f", {self.rng.choice(self.vocabulary.quantiles)}"
        removes_all = removed <= SPATIAL and not (axes & SPATIAL)
        if removes_all and self.rng.random() < 0.6:
            return f"{name}({inner}{extra})"
        words = [WORDS[axis] for axis in sorted(removed)]
        self.rng.shuffle(words)
        return f"{name}({inner}{extra}, {', '.join(words)})"

    def network(self, axes: frozenset[str], depth: int) -> str:
        return f"{self.rng.choice(self.vocabulary.network)}({self.expression(axes, depth)})"
