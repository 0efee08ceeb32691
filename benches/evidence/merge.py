"""Results of several `tap bench` runs as one page, with the networks together at its head.

python benches/evidence/merge.py bench-out/*/result.json > page.md
"""

from __future__ import annotations

import sys

from tap.bench.result import Result
from tap.bench.tables import markdown

if __name__ == "__main__":
    print(markdown([net for path in sys.argv[1:] for net in Result.load(path).nets]), end="")
