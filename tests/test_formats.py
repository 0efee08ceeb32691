"""Formats: closed forms, exact bytes, properties, and equality with the packages that share them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tap.errors import FormatError
from tap.formats import DEFAULT, Format, names, parse, parse_all
from tap.stats.units import Unit

CONV = Unit("conv", "conv2d", out=16, inp=3, pos=9, macs=1)
LINEAR = Unit("fc", "linear", out=10, inp=64, pos=1, macs=1)
EVERY = [
    *DEFAULT,
    *("int4-asym", "int3-tensor", "int4-g32", "int4-asym-g128", "int8-absmax"),
    *("fp8-e4m3", "fp8-e5m2", "fp4-e2m1", "fp4-e2m1-tensor", "mxfp4", "nvfp4", "int4+a8"),
]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error(name: str, weight: torch.Tensor) -> float:
    return float((parse(name).quantize(weight) - weight).square().sum())


@pytest.mark.parametrize(
    ("name", "conv", "linear"),
    [
        ("int3", 162 + 64, 240 + 40),  # codes + one float32 scale a channel
        ("int4", 216 + 64, 320 + 40),
        ("int3-tensor", 162 + 4, 240 + 4),
        ("int4-asym", 216 + 64 + 8, 320 + 40 + 5),  # zero points of 4 bits, packed
        ("int4-g32", 216 + 32, 320 + 40),  # a row of 27 is one group; bfloat16 scales
        ("fp8-e4m3", 432 + 64, 640 + 40),
        ("mxfp4", 16 * 17, 10 * 2 * 17),  # 27 weights fill one block of 32
        ("nvfp4", 16 * 2 * 9 + 4, 10 * 4 * 9 + 4),
        ("int4+a8", 216 + 64 + 8, 320 + 40 + 8),
    ],
)
def test_bytes_are_exact(name: str, conv: int, linear: int) -> None:
    assert parse(name).stored_bytes(CONV) == conv
    assert parse(name).stored_bytes(LINEAR) == linear


def test_groups_that_do_not_divide_a_row_are_padded() -> None:
    unit = Unit("odd", "linear", out=2, inp=70, pos=1, macs=1)
    assert parse("int4-g64").stored_bytes(unit) == 2 * 2 * 64 // 2 + 2 * 2 * 2
    weight = normal(2, 70)
    assert parse("int4-g64").quantize(weight).shape == weight.shape


def test_absmax_by_hand() -> None:
    weight = torch.tensor([[-1.0, 0.5, 0.24, 0.75]])
    step = 1.0 / 1.5
    expected = torch.tensor([[-2 * step, step, 0.0, step]])
    expected[0, 0] = -step * round(1.5)
    assert torch.allclose(parse("int2-absmax").quantize(weight), expected)
    asym = parse("int2-asym-absmax").quantize(torch.tensor([[0.0, 1.0, 2.0, 3.0]]))
    assert asym.tolist() == [[0.0, 1.0, 2.0, 3.0]]


def test_fp4_by_hand() -> None:
    weight = torch.tensor([[6.0, 0.25, 0.75, 2.5, 5.0, -3.5]])
    assert parse("fp4-e2m1-absmax").quantize(weight).tolist() == [[6.0, 0.0, 1.0, 2.0, 4.0, -4.0]]


def test_a_grid_weight_comes_back() -> None:
    codes = torch.tensor([[-2.0, 1.0, 0.0, 1.0], [2.0, -1.0, 1.0, 0.0]]) * 0.37
    assert torch.allclose(parse("int2").quantize(codes), codes), "the extra code serves either side"


def fine_search(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """The least squared error of each row over 600 scales on either side."""
    half = 2 ** (bits - 1)
    best = torch.full((len(weight),), torch.inf)
    for part in torch.logspace(-1.7, 0.08, 600):
        for sign in (1, -1):
            scale = sign * part * weight.abs().amax(1, keepdim=True) / half
            back = (weight / scale).round().clamp(-half, half - 1) * scale
            best = torch.minimum(best, (back - weight).square().sum(1))
    return best


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("columns", [27, 288, 1500])
def test_the_search_finds_what_a_fine_grid_finds(bits: int, columns: int) -> None:
    weight = normal(8, columns, seed=bits)
    found = (parse(f"int{bits}").quantize(weight) - weight).square().sum(1)
    assert found.sum() <= fine_search(weight, bits).sum() * (1.1 if columns < 128 else 1.01)


@pytest.mark.parametrize("bits", range(2, 7))
def test_the_search_finds_scales_far_below_the_largest_value(bits: int) -> None:
    weight = normal(64, 1000, seed=bits)
    weight = weight.sign() * weight.abs() ** 3
    found = error(f"int{bits}-tensor", weight)
    assert found <= float(fine_search(weight.reshape(1, -1), bits)) * 1.002


@pytest.mark.parametrize("size", [1e-42, 1e-36, 1e30])
def test_weights_at_the_ends_of_float32(size: float) -> None:
    weight = normal(4, 200) * size
    back = parse("int4").quantize(weight)
    assert bool(torch.isfinite(back).all())
    if size > 1e-38:
        assert float((back - weight).double().square().sum()) < 0.1 * float(weight.double().square().sum())


@pytest.mark.parametrize("name", [name for name in EVERY if "absmax" not in name])
def test_quantizing_twice_changes_nothing_more(name: str) -> None:
    weight = normal(12, 3, 5, 5)
    once = parse(name).quantize(weight)
    twice = parse(name).quantize(once)
    assert once.shape == weight.shape
    assert float((twice - once).square().sum()) <= 1e-3 * float((once - weight).square().sum())


@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(2, 9),
    columns=st.integers(32, 90),
    tail=st.floats(0.5, 3),
)
@settings(max_examples=12, deadline=None)
def test_more_bits_less_error(seed: int, rows: int, columns: int, tail: float) -> None:
    weight = normal(rows, columns, seed=seed)
    weight = weight.sign() * weight.abs() ** tail
    for suffix in ("", "-asym", "-g32", "-tensor"):
        errors = [error(f"int{bits}{suffix}", weight) for bits in range(2, 9)]
        assert all(more <= less * 1.02 + 1e-12 for less, more in pairwise(errors))
    for bits in range(2, 9):
        assert error(f"int{bits}", weight) <= error(f"int{bits}-absmax", weight) * (1 + 1e-6)


@given(seed=st.integers(0, 2**31), power=st.integers(-20, 20))
@settings(max_examples=20, deadline=None)
def test_scaling_the_weight_scales_the_result(seed: int, power: int) -> None:
    weight = normal(4, 40, seed=seed)
    for name in ("int3", "int8-asym", "int4-g32", "fp8-e4m3", "fp4-e2m1", "mxfp4"):
        plain = parse(name).quantize(weight)
        assert torch.allclose(
            parse(name).quantize(weight * 2.0**power), plain * 2.0**power, rtol=1e-6, atol=0
        )


@pytest.mark.parametrize("name", EVERY)
def test_zero_rows_and_half_precision(name: str) -> None:
    weight = normal(4, 64)
    weight[1] = 0
    back = parse(name).quantize(weight)
    assert (back[1] == 0).all()
    half = parse(name).quantize(weight.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16


def test_bad_weights_and_names() -> None:
    weight = normal(2, 8)
    weight[0, 3] = torch.nan
    with pytest.raises(FormatError, match="not finite"):
        parse("int4").quantize(weight)
    with pytest.raises(FormatError, match="nothing to quantize"):
        parse("int4").quantize(torch.zeros(0, 3))
    with pytest.raises(FormatError, match="unknown format 'nvpf4'") as caught:
        parse("nvpf4")
    assert "nvfp4" in (caught.value.hint or "")
    for name in ("int9", "int4-g48", "int4-g32-asym", "fp8", "int4+a9", "w9a8"):
        with pytest.raises(FormatError):
            parse(name)
    with pytest.raises(FormatError, match="twice"):
        parse_all(["int4", "w4"])


@pytest.mark.parametrize("name", [*EVERY, *names(), "w4a8", "int4-asym-g32-absmax", "fp8-e5m2-tensor-absmax"])
def test_names_round_trip(name: str) -> None:
    assert parse(parse(name).name) == parse(name)
    assert isinstance(parse(name), Format)


def test_custom_formats_are_welcome() -> None:
    class Ternary:
        name, bits, act_bits = "ternary", 1.58, 16

        def stored_bytes(self, unit: Unit) -> int:
            return unit.numel // 5 + 4

        def quantize(self, weight: torch.Tensor) -> torch.Tensor:
            return weight.sign() * weight.abs().mean()

    assert [format.name for format in parse_all(["int4", Ternary()])] == ["int4", "ternary"]
    with pytest.raises(FormatError, match="neither"):
        parse_all([4])  # type: ignore[list-item]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("asym", [False, True])
@pytest.mark.parametrize("group", [None, 32, 128])
def test_integers_equal_torchao(bits: int, asym: bool, group: int | None) -> None:
    primitives = pytest.importorskip(
        "torchao.quantization.quant_primitives", reason="torchao is not installed"
    )
    weight = normal(16, 256) * 0.1
    low, high = (0, 2**bits - 1) if asym else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    block, stored = (1, group or 256), torch.uint8 if asym else torch.int8
    mapping = primitives.MappingType.ASYMMETRIC if asym else primitives.MappingType.SYMMETRIC
    kept = torch.bfloat16 if group else torch.float32
    scale, zero = primitives.choose_qparams_affine(
        weight, mapping, block, stored, low, high, eps=1e-30, scale_dtype=kept
    )
    codes = primitives.quantize_affine(weight, block, scale.float(), zero, stored, low, high)
    theirs = primitives.dequantize_affine(codes, block, scale.float(), zero, stored, low, high)
    name = f"int{bits}" + ("-asym" if asym else "") + (f"-g{group}" if group else "") + "-absmax"
    ours = float((theirs - weight).square().sum())
    assert error(name, weight) == pytest.approx(ours, rel=1e-5)


def test_block_floats_equal_torchao() -> None:
    mx = pytest.importorskip("torchao.prototype.mx_formats.mx_tensor", reason="torchao is not installed")
    nv = pytest.importorskip("torchao.prototype.mx_formats.nvfp4_tensor", reason="torchao is not installed")
    weight = normal(16, 256) * 0.1
    kind = torch.float4_e2m1fn_x2
    scale, codes = mx.to_mx(weight, kind, 32)
    assert torch.equal(parse("mxfp4").quantize(weight), mx.to_dtype(codes, scale, kind, 32, torch.float32))
    whole = nv.per_tensor_amax_to_scale(weight.abs().amax())
    theirs = nv.NVFP4Tensor.to_nvfp4(weight, per_tensor_scale=whole).dequantize()
    assert torch.allclose(parse("nvfp4").quantize(weight), theirs, rtol=1e-6)


@pytest.mark.parametrize("kind", ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4"])
def test_gguf_blocks_equal_gguf(kind: str) -> None:
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    weight = normal(8, 512) * 0.1
    found = gguf.GGMLQuantizationType[kind.upper()]
    packed = gguf.quants.quantize(weight.numpy(), found)
    assert parse(f"gguf-{kind}").stored_bytes(Unit("fc", "linear", 8, 512, 1, 0)) == packed.nbytes
    theirs = torch.from_numpy(gguf.quants.dequantize(packed, found))
    assert torch.equal(parse(f"gguf-{kind}").quantize(weight), theirs)
    if kind == "mxfp4":
        assert torch.equal(parse("mxfp4").quantize(weight), theirs)
    with pytest.raises(FormatError, match="whole blocks"):
        parse(f"gguf-{kind}").quantize(normal(8, 500))
