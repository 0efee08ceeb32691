"""Units of every kind of layer: how they are found, ordered, measured, and how attention is watched."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from tap.errors import ModelError
from tap.stats.batches import Batches
from tap.stats.layers import discover, find_layers, fingerprint, matrix, unmatrix, weights_of
from tap.stats.observe import observed
from tap.stats.sites import find_sites


class Net(nn.Module):
    """Layers defined in another order than they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 5)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 8, (1, 3), groups=2, padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.grouped(self.depthwise(self.stem(x))).mean((2, 3)))


def test_order_shapes_and_macs() -> None:
    stem, depthwise, grouped, head = discover(Net(), torch.zeros(2, 3, 8, 8))
    assert [u.name for u in (stem, depthwise, grouped, head)] == ["stem", "depthwise", "grouped", "head"]
    assert (stem.out, stem.inp, stem.pos, stem.kernel, stem.stride) == (8, 3, 9, 3, 2)
    assert stem.macs == 4 * 4 * 8 * 27
    assert stem.activations == 3 * 64
    assert depthwise.is_depthwise
    assert (depthwise.inp, depthwise.groups, depthwise.macs) == (1, 8, 16 * 8 * 9)
    assert (grouped.inp, grouped.pos, grouped.groups, grouped.kernel) == (4, 3, 2, 3)
    assert not grouped.is_depthwise
    assert (head.kind, head.numel, head.macs) == ("linear", 40, 40)


def test_one_and_three_dimensional_convolutions() -> None:
    (one,) = discover(nn.Conv1d(2, 3, 5), torch.zeros(1, 2, 9))
    (three,) = discover(nn.Conv3d(2, 3, 2), torch.zeros(1, 2, 4, 4, 4))
    assert (one.kind, one.pos, one.macs) == ("conv1d", 5, 3 * 5 * 10)
    assert (three.kind, three.pos, three.macs) == ("conv3d", 8, 27 * 3 * 16)


def test_exclude_and_include() -> None:
    def names(**options: object) -> list[str]:
        return [unit.name for unit in discover(Net(), torch.zeros(1, 3, 8, 8), **options)]

    assert names(exclude=["first", "last"]) == ["depthwise", "grouped"]
    assert names(exclude=["*ed*", "d*", "head"]) == ["stem"]
    assert names(include=["stem", "last"]) == ["stem", "head"]
    with pytest.raises(ModelError, match="no layer matches 'sten'") as caught:
        names(exclude=["sten"])
    assert "stem" in (caught.value.hint or "")
    with pytest.raises(ModelError, match="no unit"):
        names(exclude=["*"])


def test_a_layer_that_is_never_called() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].spare = nn.Linear(2, 2)
    with pytest.raises(ModelError, match=r"never called.*0\.spare"):
        discover(model, torch.ones(1, 2))
    assert [u.name for u in discover(model, torch.ones(1, 2), uncalled="exclude")] == ["0"]
    assert [u.name for u in discover(model, torch.ones(1, 2), exclude=["*spare"])] == ["0"]


def test_a_layer_that_only_later_samples_reach() -> None:
    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

        def forward(self, x: Tensor) -> Tensor:
            out = torch.zeros_like(x)
            for index, expert in enumerate(self.experts):
                mine = x[:, 0] == index
                if mine.any():
                    out[mine] = expert(x[mine])
            return out

    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    layers = find_layers(Routed(), x)
    assert [unit.name for unit in layers.units] == ["experts.0", "experts.1"]


def test_tied_weights_are_one_unit() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 7, bias=False)
            self.embed = nn.Embedding(7, 4)
            self.head.weight = self.embed.weight

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.embed(ids))

    (unit,) = discover(Tied(), torch.zeros(1, 3, dtype=torch.long))
    assert (unit.name, unit.kind, unit.out, unit.inp, unit.calls) == ("embed", "embedding", 7, 4, 2)
    assert unit.macs == 3 * 28


def test_a_shared_module_counts_every_call() -> None:
    layer = nn.Linear(4, 4)
    (unit,) = discover(nn.Sequential(layer, nn.ReLU(), layer), torch.ones(1, 4))
    assert (unit.name, unit.calls, unit.macs) == ("0", 2, 32)


def test_weights_stored_transposed() -> None:
    class Conv1D(nn.Module):
        """As in transformers: y = x @ weight + bias, weight [in, out]."""

        def __init__(self) -> None:
            super().__init__()
            self.nf = 6
            self.weight = nn.Parameter(torch.randn(4, 6))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight

    model = nn.Sequential(Conv1D())
    (unit,) = discover(model, torch.ones(1, 4))
    assert (unit.kind, unit.out, unit.inp, unit.transposed, unit.macs) == ("linear", 6, 4, True, 24)
    (weight,) = weights_of(model, [unit])
    view = matrix(weight, unit)
    assert torch.equal(view[:, :, 0], model[0].weight.t())
    assert torch.equal(unmatrix(view, unit, weight.shape), weight)


def test_packed_experts_are_watched_one_by_one() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_up_proj = nn.Parameter(torch.randn(3, 4, 2))

        def forward(self, x: Tensor) -> Tensor:
            return sum(nn.functional.linear(x, self.gate_up_proj[index]) for index in range(3))

    model = nn.Sequential(Experts())
    (unit,) = discover(model, torch.ones(2, 2))
    assert (unit.name, unit.kind, unit.out, unit.inp, unit.calls) == ("0.gate_up_proj", "experts", 12, 2, 3)
    assert weights_of(model, [unit])[0] is model[0].gate_up_proj
    rows = []
    with observed(find_sites(model), lambda site, row, x, z: rows.append(row)):
        model(torch.ones(2, 2))
    assert rows == [0, 4, 8]
    assert "forward" not in model[0].__dict__


def test_the_axis_of_the_samples() -> None:
    sequence_first = nn.TransformerEncoderLayer(8, 2, 16, batch_first=False)

    class Swap(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = sequence_first

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.transpose(0, 1)).transpose(0, 1)

    layers = find_layers(Swap(), torch.randn(2, 3, 8))
    axes = {unit.name: axis for unit, (axis,) in zip(layers.units, layers.axes, strict=True)}
    assert axes == {
        "layer.self_attn.in_proj": 0,
        "layer.self_attn.out_proj": 0,
        "layer.linear1": 1,
        "layer.linear2": 1,
    }


@pytest.mark.parametrize("options", [
    {}, {"batch_first": True}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True},
    {"kdim": 6, "vdim": 10},
])  # fmt: skip
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masks", ["none", "padding", "attention", "both", "heads"])
def test_watched_attention_computes_the_same(options: dict, need_weights: bool, masks: str) -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, **options).eval()
    batch_first = options.get("batch_first", False)

    def tensor(length: int, size: int) -> Tensor:
        value = torch.randn(3, length, size)
        return value if batch_first else value.transpose(0, 1)

    query, key, value = tensor(5, 8), tensor(4, options.get("kdim", 8)), tensor(4, options.get("vdim", 8))
    padding = torch.tensor([[False] * 3 + [True]] * 3) if masks in ("padding", "both") else None
    mask = torch.randn(5, 4) if masks in ("attention", "both") else None
    mask = torch.rand(6, 5, 4) < 0.3 if masks == "heads" else mask
    call = {"key_padding_mask": padding, "attn_mask": mask, "need_weights": need_weights}
    expected, weights = layer(query, key, value, **call)
    calls = []
    with observed(find_sites(layer), lambda site, row, x, z: calls.append((site.name, row))):
        found, found_weights = layer(query, key, value, **call)
    torch.testing.assert_close(found, expected)
    if need_weights:
        torch.testing.assert_close(found_weights, weights)
    packed = ["q_proj", "k_proj", "v_proj"] if "kdim" in options else ["in_proj"] * 3
    assert [name for name, _ in calls] == [*packed, "out_proj"]


def test_self_attention_inside_an_encoder_is_seen_in_evaluation_mode() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    x = torch.randn(2, 5, 8)
    expected = encoder(x)
    names = [unit.name for unit in discover(encoder, x)]
    assert names[:4] == [
        "layers.0.self_attn.in_proj",
        "layers.0.self_attn.out_proj",
        "layers.0.linear1",
        "layers.0.linear2",
    ]
    with observed(find_sites(encoder), lambda *call: None), torch.no_grad():
        torch.testing.assert_close(encoder(x), expected)


def test_wrappers_of_compile_do_not_change_names() -> None:
    net = Net()
    plain = discover(net, torch.zeros(1, 3, 8, 8))
    assert discover(torch.compile(net), torch.zeros(1, 3, 8, 8)) == plain
    inner = nn.Sequential(torch.compile(nn.Linear(2, 2)))
    (unit,) = discover(inner, torch.ones(1, 2))
    assert unit.name == "0"
    assert weights_of(inner, [unit])[0] is inner[0]._orig_mod.weight


def test_the_fingerprint_knows_weights_and_names() -> None:
    nets = [nn.Linear(3, 3), nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3))]
    nets[2][0].load_state_dict(nets[0].state_dict())
    prints = [fingerprint(net, discover(net, torch.ones(1, 3))) for net in nets]
    assert all(a != b for a, b in itertools.combinations(prints, 2))
    assert prints[0] == fingerprint(nets[0], discover(nets[0], torch.ones(1, 3)))


def test_the_model_is_given_back_unchanged() -> None:
    net = Net().train()
    net.head.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}

    class Breaks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyboardInterrupt

    for broken in (False, True):
        model = nn.Sequential(net, Breaks()) if broken else net
        try:
            discover(model, torch.zeros(1, 3, 8, 8))
        except KeyboardInterrupt:
            assert broken
        assert all(module.training for module in net.modules())
        assert not any(module._forward_hooks for module in net.modules())
        assert [p.requires_grad for p in net.parameters()].count(False) == 1
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_units_that_do_not_belong_to_the_model() -> None:
    (unit,) = discover(nn.Linear(2, 2), torch.ones(1, 2))
    with pytest.raises(ModelError, match="no layer"):
        weights_of(Net(), discover(nn.Sequential(nn.Linear(2, 2)), torch.ones(1, 2)))
    assert unit.name == ""
    assert Batches(torch.ones(1, 2)).n_samples == 1
