"""llama.cpp: the file of `llama-quantize --tensor-type-file`, one exact name a line.

Integer formats become the k-quants of the same bits, whose bytes a budget counts then. llama.cpp lower-cases
patterns, splits at white space and takes the first match, so names are written in lower case without classes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tap.export.gguf_names import tensor_names
from tap.export.sizes import ggml_type
from tap.formats import parse

if TYPE_CHECKING:
    from torch import nn

    from tap.plan import Plan


def write(plan: Plan, path: Path, *, model: nn.Module) -> dict[str, int]:
    """Write the lines; no weights, so no bytes."""
    names = tensor_names(model, [f"{unit.name}.weight" for unit in plan.units])
    lines = [
        f"^{re.escape(names[f'{unit.name}.weight'])}$={ggml_type(parse(plan.choices[unit.name]))}"
        for unit in plan.units
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {}
