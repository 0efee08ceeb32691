"""The limits of a proxy program by name, as calls and the command line give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tap import _core
from tap.errors import ProxyError

DEFAULTS: dict[str, int] = dict(_core.limits())
"""Every limit with what holds unless a call says otherwise."""


def checked(limits: Mapping[str, int] | None) -> dict[str, int] | None:
    """The limits as the core takes them.

    Raises:
        ProxyError: (kind `limit-name`) an unknown name, or a value that is no whole number below 2^64.

    >>> checked({"work": 10**6})
    {'work': 1000000}
    """
    if limits is None:
        return None
    for name, value in limits.items():
        if name not in DEFAULTS:
            raise _error(f"there is no limit '{name}'", f"limits are {', '.join(DEFAULTS)}")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
            raise _error(f"the limit {name} is {value!r}", "limits are whole numbers from 0 to 2^64 - 1")
    return dict(limits)


def parse(texts: Sequence[str]) -> dict[str, int] | None:
    """Limits from texts `NAME=VALUE`; a value may be written as 1e9. None when there is no text.

    >>> parse(["work=1e9", "operators=40"])
    {'work': 1000000000, 'operators': 40}
    """
    found: dict[str, int] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = int(value) if value.strip().isdigit() else int(float(value))
        except (ValueError, OverflowError):
            raise _error(
                f"cannot read the limit '{text}'", "write NAME=VALUE, for example work=1e9"
            ) from None
    return checked(found or None)


def _error(message: str, hint: str) -> ProxyError:
    return ProxyError(message, hint=hint, kind="limit-name")
