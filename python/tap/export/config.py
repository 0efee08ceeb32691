"""The config.json that servers read: the model's own configuration with a quantization entry."""

from __future__ import annotations

import json
from typing import Any


def with_quantization(model: Any, quantization: dict[str, Any]) -> str:
    """JSON text of the model's configuration (where it has one) with `quantization_config`.

    >>> print(with_quantization(None, {"bits": 4}))
    {
      "quantization_config": {
        "bits": 4
      }
    }
    """
    find = getattr(getattr(model, "config", None), "to_dict", None)
    config = dict(find()) if find is not None else {}
    config["quantization_config"] = quantization
    return json.dumps(config, indent=2, default=str)
