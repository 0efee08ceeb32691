"""The targets that plans are exported to: what each holds, which units it ties, what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Literal

from tap.errors import ExportError
from tap.export import sizes
from tap.formats import Format
from tap.formats.integer import IntFormat
from tap.formats.pair import PairFormat, weight_only
from tap.stats.units import Unit

MATRICES = ("linear",)
ALL = ("linear", "embedding", "experts", "conv1d", "conv2d", "conv3d")
Size = Callable[..., int]
_WIDTHS = (2, 3, 4, 5, 6, 7, 8)
_GROUPS = (None, 32, 64, 128)


@dataclass(frozen=True)
class Holds:
    """The weight formats and layers that a target can hold."""

    widths: tuple[int, ...] = ()
    """Bits of its integer formats."""
    groups: tuple[int | None, ...] = (None,)
    """Columns that share a scale; None is one scale a row."""
    symmetric: bool = True
    asymmetric: bool = False
    per_tensor: bool = False
    names: tuple[str, ...] = ()
    """Other formats, by name."""
    kinds: tuple[str, ...] = MATRICES
    """Kinds of units."""
    act_bits: tuple[int, ...] = ()
    """Bits of unit inputs, beside 16."""
    padded: bool = False
    """Whether rows may end inside a group."""
    block: Callable[[Format], int] | None = None
    """Weights that rows must be whole numbers of, where it is not the format that says."""

    def refusal(self, unit: Unit, format: Format) -> str | None:
        """Why the target cannot hold a unit in a format; None when it can."""
        if unit.kind not in self.kinds:
            return f"{unit.kind} layers are not quantized there"
        if isinstance(format, PairFormat) and format.act_bits not in self.act_bits:
            return f"{format.act_bits}-bit inputs are not supported"
        weight = weight_only(format)
        if not isinstance(weight, IntFormat):
            if weight.name.removesuffix("-absmax") not in self.names:
                return f"{weight.name} is not one of its formats"
            return self._blocks(unit, weight)
        known = (
            weight.width in self.widths
            and weight.group in self.groups
            and (self.symmetric if weight.symmetric else self.asymmetric)
            and (self.per_tensor or not weight.per_tensor)
        )
        if not known:
            return f"{weight.name} is not one of its formats"
        columns = unit.inp * unit.pos
        if weight.group and unit.is_conv and not self.padded:
            return "groups within the rows of a convolution are not supported"
        if self.block and columns % self.block(weight):
            return f"rows of {columns} weights are not divisible by the block of {self.block(weight)}"
        if weight.group and columns % weight.group and not self.padded:
            return f"rows of {columns} weights are not divisible by the group of {weight.group}"
        return None

    def _blocks(self, unit: Unit, weight: Format) -> str | None:
        block = {"mxfp4": 32, "nvfp4": 16}.get(weight.name)
        columns = unit.inp * unit.pos
        if block and columns % block and not self.padded:
            return f"rows of {columns} weights are not divisible by the block of {block}"
        try:
            weight.stored_bytes(unit)
        except Exception as error:
            return str(error)
        return None

    def describe(self) -> str:
        """The formats in one line, for tables."""
        parts = []
        if self.widths:
            bits = ",".join(map(str, self.widths))
            groups = ",".join(str(group) for group in self.groups if group)
            kind = {(True, True): "sym/asym", (True, False): "sym", (False, True): "asym"}
            row = "row" if None in self.groups else ""
            scales = "/".join(part for part in (row, f"g{groups}" if groups else "") if part)
            parts.append(f"int{bits} {kind[self.symmetric, self.asymmetric]} {scales}")
        return "; ".join([*parts, *([", ".join(self.names)] if self.names else [])])


@dataclass(frozen=True)
class Target:
    """One place that a plan can go to."""

    name: str
    title: str
    holds: Holds
    writer: str
    """Module of `tap.export` with the function `write`."""
    output: Literal["file", "folder"]
    ties: str | None = None
    """Name of its tie rules in `tap.stats.ties`."""
    needs: tuple[str, ...] = ()
    """Packages that the writer imports."""
    extra: str = ""
    """The extra of tap-mpq that installs them."""
    weights: bool = True
    """Whether weights are written, so that a model is needed; otherwise a map from layers to formats is."""
    reads: bool = False
    """Whether a model is only read for names and shapes, and nothing of it is quantized here."""
    traced: bool = False
    """Whether the writer runs the model on the first batch of `data`."""
    sizes: Size = sizes.stored
    """Bytes of a unit's weight on disk, from (unit, format, bytes of one number of the model)."""
    counted: Size | None = None
    """Bytes that a budget counts, where the files are only an unpacked form of what runs; None: `sizes`."""

    def refusal(self, unit: Unit, format: Format) -> str | None:
        """Why the target cannot hold a unit in a format; None when it can."""
        return self.holds.refusal(unit, format)

    def write(self) -> Callable[..., Any]:
        """The function that writes it."""
        function: Callable[..., Any] = import_module(f"tap.export.{self.writer}").write
        return function


_GGUF = tuple(f"gguf-{kind}" for kind in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4"))
_FLOATS = ("fp8-e4m3", "fp8-e5m2", "fp4-e2m1", "fp8-e4m3-tensor", "fp8-e5m2-tensor", "fp4-e2m1-tensor")

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            "state-dict",
            "packed integer tensors and scales in one safetensors file, with a loader",
            Holds(_WIDTHS, _GROUPS, True, True, True, (*_FLOATS, "mxfp4", "nvfp4", *_GGUF), ALL,
                  act_bits=_WIDTHS, padded=True),
            "state_dict", "file",
        ),
        Target(
            "torchao",
            "FqnToConfig as config.json and as code; with a model, its tensors too",
            Holds(_WIDTHS, (None, 32, 64, 128), True, True),
            "torchao", "folder", ties="torchao", needs=("torchao",), extra="torchao", weights=False,
            sizes=sizes.unpacked, counted=sizes.stored,
        ),
        Target(
            "compressed-tensors",
            "a checkpoint for transformers and vLLM",
            Holds((4, 8), _GROUPS, names=("fp8-e4m3",)),
            "compressed_tensors", "folder", ties="vllm", sizes=sizes.words,
        ),
        Target(
            "gguf",
            "a GGUF file: from a 16-bit one (base=), from transformers, or with the model's own names",
            Holds(names=_GGUF, kinds=("linear", "embedding")),
            "gguf", "file", ties="gguf", needs=("gguf",), extra="gguf",
        ),
        Target(
            "llama-cpp",
            "the file of llama-quantize --tensor-type-file",
            Holds((2, 3, 4, 5, 6, 8), names=_GGUF, kinds=("linear", "embedding"), block=sizes.ggml_block),
            "llama_cpp", "file", reads=True, ties="gguf", needs=("gguf",), extra="gguf", sizes=sizes.ggml,
        ),
        Target(
            "onnx",
            "an ONNX graph: integer weights behind DequantizeLinear, static 8-bit inputs",
            Holds((4, 8), _GROUPS, True, True, kinds=("linear", "embedding", "conv1d", "conv2d"),
                  act_bits=(8,)),
            "onnx_qdq", "file", ties="onnx", needs=("onnx",), extra="onnx", sizes=sizes.onnx, traced=True,
        ),
        Target(
            "matmul-nbits",
            "the full-precision ONNX graph with the node map of ONNX Runtime's MatMulNBits quantizer",
            Holds((4, 8), (32, 64, 128), True, True),
            "matmul_nbits", "folder", reads=True, ties="onnx", needs=("onnx",), extra="onnx", traced=True,
        ),
        Target(
            "mlx",
            "a checkpoint that mlx-lm loads, with the predicate for nn.quantize",
            Holds((2, 3, 4, 5, 6, 8), (32, 64, 128), True, True, kinds=("linear", "embedding")),
            "mlx", "folder", ties="mlx", sizes=sizes.mlx,
        ),
        Target(
            "modelopt",
            "quant_cfg for NVIDIA ModelOpt, and hf_quant_config.json",
            Holds((4, 8), _GROUPS, names=("fp8-e4m3", "fp8-e4m3-tensor", "nvfp4"), act_bits=(8,)),
            "modelopt", "folder", reads=True, ties="tensorrt-llm", weights=False,
        ),
        Target(
            "autoround",
            "layer_config for AutoRound, and the extra_config of its checkpoints",
            Holds((2, 3, 4, 8), _GROUPS, True, True),
            "autoround", "folder", reads=True, ties="vllm", weights=False,
        ),
        Target(
            "gptq",
            "quantize_config.json with the dynamic map of GPTQModel and vLLM",
            Holds((2, 3, 4, 8), _GROUPS, True, True),
            "gptq", "file", reads=True, ties="vllm", weights=False,
        ),
        Target(
            "openvino",
            "passes of nncf.compress_weights, one for each format",
            Holds((4, 8), _GROUPS, True, True),
            "openvino", "folder", reads=True, weights=False,
        ),
    )
}  # fmt: skip
ALIASES: dict[str, tuple[str, str]] = {
    "vllm": ("compressed-tensors", "vllm"),
    "sglang": ("compressed-tensors", "sglang"),
    "tensorrt-llm": ("modelopt", "tensorrt-llm"),
    "llama.cpp": ("gguf", "gguf"),
}
"""Names of servers: the target that they load and the tie rules that hold there."""


def find(name: str) -> Target:
    """The target of this name; an unknown one is an `ExportError` that names the nearest.

    >>> find("torchao").output
    'folder'
    """
    if name in ALIASES:
        from dataclasses import replace

        base, rules = ALIASES[name]
        return replace(TARGETS[base], ties=rules)
    if name not in TARGETS:
        near = get_close_matches(name, [*TARGETS, *ALIASES], n=2) or sorted([*TARGETS, *ALIASES])
        raise ExportError(f"there is no target '{name}'", hint="one of " + ", ".join(near))
    return TARGETS[name]


def tied(units: Sequence[Unit], target: Target) -> list[list[str]]:
    """Names of the units that the target stores as one weight; groups of one are left out."""
    if target.ties is None:
        return []
    from tap.stats.ties import ties

    groups: dict[int, list[str]] = {}
    for unit, number in zip(units, ties(units, target.ties), strict=True):
        groups.setdefault(number, []).append(unit.name)
    return [group for group in groups.values() if len(group) > 1]
