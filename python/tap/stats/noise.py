"""Errors that quantized weights make in the outputs, and what the gradients make of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tap.formats import Format
from tap.stats.calls import Call, cut, cut_rows, laid_out, multiply, per_sample
from tap.stats.deltas import Deltas
from tap.stats.gradients import input_gradient
from tap.stats.moments import squares_along
from tap.stats.normalized import InputMeans, mean_errors, subtract
from tap.stats.rounded import UNROUNDED, RoundedInputs

_CACHED = 1 << 18
"""Elements of dw formed at once for linear layers (1 MB)."""
_LIMIT = 1 << 19
"""Elements of the output errors held at once (2 MB)."""
_SMALLEST_LOGIT = 1e-6
"""A target logit nearer to zero counts as this: its relative change has no meaning there."""


class OutputNoise:
    """out_noise, gz_noise, gdw2, logit_dw2: all from D = x * dw, the output's error, with the weights' alone.

    With `inputs` those are rounded too, to x + dx: D = (x + dx) * dw + dx * w.

    For sample n: out_noise = E |D|^2; gz_noise = E sum gz^2 D^2 (ModelOpt's score); and since
    sum_w g_n dw = <gz_n, D_n>, gdw2 = E <gz, D>^2 and logit_dw2 = E (<gy, D> / y)^2 (MPQCO, Chen et al., ICCV
    2021), where gz and gy are the gradients of the loss and of the target's logit y in the output. D is less
    its mean in each channel for the units in `means`, which holds their mean inputs by unit and bits.
    """

    def __init__(
        self,
        deltas: Deltas,
        devices: Sequence[torch.device],
        inputs: RoundedInputs | None = None,
        means: InputMeans | None = None,
    ) -> None:
        self._deltas = deltas
        self._inputs = inputs or RoundedInputs(deltas.formats)
        self._means = means or {}
        self._shape = len(self._inputs.widths), len(deltas.distinct)
        self._sums = {
            name: [torch.zeros(self._shape, dtype=torch.float64, device=d) for d in devices]
            for name in ("out_noise", "gz_noise", "gdw2", "logit_dw2")
        }
        self._along: dict[tuple[int, str], Tensor] = {}

    def calls(self, calls: Sequence[Call]) -> None:
        """Take in all calls of one unit in one batch."""
        for call in (part for whole in calls for part in self._in_rows(whole)):
            rows = slice(call.row, call.row + call.rows)
            for formats in self._deltas.pieces(call.unit, call.rows):
                dw = self._deltas.of(call.unit, rows, formats)
                for start, stop in _samples(call, len(dw)):
                    self._add(call, start, stop, formats, dw)

    def _in_rows(self, call: Call) -> Iterator[Call]:
        """A linear call in parts whose dw stays in the cache; others whole."""
        if call.site.kind != "linear":
            yield call
            return
        step = max(1, _CACHED // (call.x.shape[-1] * len(self._deltas.distinct)))
        for start in range(0, call.rows, step):
            yield cut_rows(call, start, start + step)

    def _add(self, call: Call, start: int, stop: int, formats: slice, dw: Tensor) -> None:
        """Take in the errors that some formats make in the samples from `start` to `stop`."""
        part = cut(call, start, stop)
        for place, width in enumerate(self._inputs.widths):
            error = self._error(part, width, dw)
            self._sums["out_noise"][call.unit][place, formats] += _squares(error)
            if part.gz is None:
                continue
            at = start, place, formats
            if part.gy is not None:
                self._along_output(call, "logit_dw2", at, part, error * laid_out(part, part.gy))
            weighted = error.mul_(laid_out(part, part.gz))
            self._sums["gz_noise"][call.unit][place, formats] += _squares(weighted)
            self._along_output(call, "gdw2", at, part, weighted)

    def _error(self, call: Call, width: int, dw: Tensor) -> Tensor:
        """D [items, A, F, B] with the input in `width` bits."""
        rounded = self._inputs.of(call, width)
        error = multiply(rounded or call, dw)
        mean = self._means.get((call.unit, width))
        weight = self._deltas.weights[call.unit][None, call.row : call.row + call.rows]
        if rounded is not None:
            error += multiply(replace(call, x=rounded.x - call.x.float()), weight)
        if mean is not None:
            shift = mean_errors(dw, mean)
            if rounded is not None:
                shift = shift + mean_errors(weight, mean - self._means[call.unit, UNROUNDED])
            subtract(error, shift, len(mean))
        return error

    def _along_output(
        self, call: Call, name: str, at: tuple[int, int, slice], part: Call, products: Tensor
    ) -> None:
        """Add to the sums over the output, which all calls of a unit share before they are squared."""
        key = (call.unit, name)
        if key not in self._along:
            shape = (call.samples, *self._shape)
            self._along[key] = torch.zeros(shape, dtype=torch.float64, device=products.device)
        start, place, formats = at
        samples = slice(start, start + part.samples)
        self._along[key][samples, place, formats] += per_sample(part, products)

    def end_batch(self, logits: Tensor | None) -> None:
        """Square the sums of each sample; `logits` [n] are the target's, None without `logit_dw2`."""
        for (unit, name), values in self._along.items():
            if name == "logit_dw2" and logits is not None:
                size = logits.double().abs().clamp(min=_SMALLEST_LOGIT)
                values = values / size.to(values.device)[:, None, None]
            self._sums[name][unit] += values.square().sum(0)
        self._along.clear()

    def result(self, name: str, samples: int, *, alone: bool = False) -> Tensor:
        """The column [L, F], the mean over samples: of the weights `alone`, or with inputs rounded too."""
        sums = torch.stack([total.cpu() for total in self._sums[name]]) / samples
        return sums[:, 0 if alone else self._inputs.of_format, self._deltas.of_format]


class InputNoise:
    """act_noise = E |X_b - X|^2 and gx_noise = E sum |gx (X_b - X)| of inputs in `act_bits` bits.

    The quantizer has one range a tensor, from the smallest to the largest input and 0. gx is the gradient
    that flows through the unit alone, as if the quantizer stood in front of it (AutoRound's score).
    """

    def __init__(
        self,
        formats: Sequence[Format],
        ranges: Sequence[tuple[float, float]],
        devices: Sequence[torch.device],
    ) -> None:
        self._bits = sorted({format.act_bits for format in formats if format.act_bits < 16})
        self._of_format = [self._bits.index(f.act_bits) if f.act_bits < 16 else -1 for f in formats]
        self._ranges = ranges
        size = len(self._bits) + 1
        self._sums = {
            name: [torch.zeros(size, dtype=torch.float64, device=device) for device in devices]
            for name in ("act_noise", "gx_noise")
        }

    def calls(self, calls: Sequence[Call]) -> None:
        """Take in all calls of one unit in one batch; embeddings have no input to quantize."""
        for call in calls:
            if call.site.kind == "embedding":
                continue
            x = call.x.float()
            gradient = None if call.gz is None else input_gradient(call)
            for index, bits in enumerate(self._bits):
                error = rounded(x, self._ranges[call.unit], bits) - x
                self._sums["act_noise"][call.unit][index] += _squares(error.reshape(1, 1, 1, -1))[0]
                if gradient is not None:
                    self._sums["gx_noise"][call.unit][index] += (error * gradient).abs().sum().double()

    def result(self, name: str, samples: int) -> Tensor:
        """The column [L, F]: the mean over samples, 0 where activations are not quantized."""
        return torch.stack([total.cpu() for total in self._sums[name]])[:, self._of_format] / samples


def rounded(x: Tensor, bounds: tuple[float, float], bits: int) -> Tensor:
    """Values on the 2^bits evenly spaced points from the lower to the upper bound, 0 among them."""
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    scale = (high - low) / ((1 << bits) - 1) or 1.0
    zero = round(-low / scale)
    codes = torch.round(x / scale).clamp_(-zero, (1 << bits) - 1 - zero)
    return codes.mul_(scale)


def _samples(call: Call, formats: int) -> list[tuple[int, int]]:
    """Ranges of samples whose errors in so many formats stay in the cache."""
    together = max(1, _LIMIT * call.samples // max(1, call.z.numel() * formats))
    return [(start, min(start + together, call.samples)) for start in range(0, call.samples, together)]


def _squares(values: Tensor) -> Tensor:
    """Sums of squares [F] of values [items, A, F, B]."""
    return squares_along(values, 3).sum((0, 1))
