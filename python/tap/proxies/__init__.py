"""The library of named proxies: one program a file, each with a header that says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from tap.errors import ProxyError

if TYPE_CHECKING:
    from tap.proxy import Proxy

DEFAULT = "modelopt"
"""The proxy of `tap allocate` when none is named."""


@dataclass(frozen=True)
class Header:
    """What the first lines of a proxy's file say."""

    name: str
    title: str
    formula: str
    source: str
    """Paper or tool, with the place in it."""
    inputs: tuple[str, ...]
    differs: str
    """What is not as in the original, and why."""


@cache
def names() -> tuple[str, ...]:
    """The names of all proxies, in alphabetical order.

    >>> "hawq_v2" in names()
    True
    """
    found = (entry.name for entry in files(__name__).iterdir() if entry.name.endswith(".tap"))
    return tuple(sorted(name.removesuffix(".tap") for name in found))


def source(name: str) -> str:
    """The text of a proxy's file; a `ProxyError` that names the nearest when there is none.

    >>> source("plain").splitlines()[-1]
    'score = plain'
    """
    if name not in names():
        import difflib

        near = difflib.get_close_matches(name, names(), 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "tap proxies lists them"
        raise ProxyError(f"there is no proxy called '{name}'", hint=hint, kind="unknown-proxy")
    return (files(__name__) / f"{name}.tap").read_text(encoding="utf-8")


def load(name: str) -> Proxy:
    """The proxy called `name`, parsed and checked.

    >>> load("hawq_v2").inputs
    ('trace', 'numel', 'dw2')
    """
    from tap.proxy import Proxy

    return Proxy(source(name))


def header(name: str) -> Header:
    """What the proxy's file says about it.

    >>> header("snip").formula
    'sum |g * W|'
    """
    lines = [line.removeprefix("# ") for line in source(name).splitlines() if line.startswith("# ")]
    fields = dict(line.split(": ", 1) for line in lines[1:])
    return Header(
        name=name,
        title=lines[0],
        formula=fields["formula"],
        source=fields["source"],
        inputs=tuple(fields["inputs"].split()),
        differs=fields["differs"],
    )
