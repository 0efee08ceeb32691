"""The configuration that most layers have: what maps call the base, from which others differ."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any


def commonest(layers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The most frequent of some configurations, the first of equals.

    >>> commonest([{"bits": 8}, {"bits": 4}, {"bits": 4}])
    {'bits': 4}
    """
    counted = Counter(json.dumps(layer) for layer in layers)
    found: dict[str, Any] = json.loads(counted.most_common(1)[0][0])
    return found
