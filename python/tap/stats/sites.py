"""Where a model multiplies by weights: one site for each module, or parameter, that could get a format."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tap.stats.batches import unwrap

_KINDS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.Conv1d, "conv1d"),
    (nn.Conv2d, "conv2d"),
    (nn.Conv3d, "conv3d"),
    (nn.Linear, "linear"),
    (nn.Embedding, "embedding"),
)
_EXPERTS = ("gate_up_proj", "down_proj", "gate_proj", "up_proj", "w1", "w2", "w3")
"""Names under which mixture-of-experts modules hold one [experts, out, in] parameter for all experts."""


@dataclass(frozen=True)
class Site:
    """One use of a weight; tied weights and packed ones share or split what torch holds."""

    name: str
    """Dotted name; the weight is `name.weight`, or the parameter `name` or `name_weight` of the parent."""
    kind: str
    """`conv1d`, `conv2d`, `conv3d`, `linear`, `embedding` or `experts`."""
    module: nn.Module
    """The layer itself, or the module whose forward uses the packed weight."""
    weight: nn.Parameter
    transposed: bool = False
    """The weight is stored [in, out] (the Conv1D of transformers)."""

    @property
    def is_packed(self) -> bool:
        """The weight is used inside the module's forward, so a hook on the module does not see its input."""
        return self.kind == "experts" or isinstance(self.module, nn.MultiheadAttention)


def find_sites(model: nn.Module) -> list[Site]:
    """Every site of the model, in the order of its modules.

    >>> [site.name for site in find_sites(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2)))]
    ['0', '2']
    """
    sites: list[Site] = []
    inside_attention: set[int] = set()
    for path, module in unwrap(model).named_modules():
        name = clean(path)
        if isinstance(module, nn.MultiheadAttention):
            sites += _attention(name, module)
            inside_attention.add(id(module.out_proj))
        elif id(module) not in inside_attention:
            sites += _layer(name, module)
    return sites


def clean(path: str) -> str:
    """A module path without the parts that torch.compile's wrappers add.

    >>> clean("encoder._orig_mod.0")
    'encoder.0'
    """
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def _layer(name: str, module: nn.Module) -> list[Site]:
    """The sites of one module that is no attention."""
    for type_, kind in _KINDS:
        if isinstance(module, type_):
            return [Site(name, kind, module, parameter_of(module))]
    if type(module).__name__ == "Conv1D" and isinstance(getattr(module, "nf", None), int):
        return [Site(name, "linear", module, parameter_of(module), transposed=True)]
    own = dict(module.named_parameters(recurse=False))
    return [
        Site(f"{name}.{key}" if name else key, "experts", module, own[key])
        for key in _EXPERTS
        if key in own and own[key].ndim == 3
    ]


def _attention(name: str, module: nn.MultiheadAttention) -> list[Site]:
    """The packed input projection (or the three separate ones) and the output projection."""
    prefix = f"{name}." if name else ""
    parts = ("in_proj",) if module.in_proj_weight is not None else ("q_proj", "k_proj", "v_proj")
    sites = [Site(prefix + part, "linear", module, getattr(module, f"{part}_weight")) for part in parts]
    return [*sites, Site(f"{prefix}out_proj", "linear", module, parameter_of(module.out_proj))]


def parameter_of(module: nn.Module) -> nn.Parameter:
    """The stored weight of a module, also below a parametrization."""
    parametrized = getattr(getattr(module, "parametrizations", None), "weight", None)
    original = getattr(parametrized, "original", None)
    weight = original if isinstance(original, Tensor) else module.weight
    assert isinstance(weight, nn.Parameter)
    return weight
