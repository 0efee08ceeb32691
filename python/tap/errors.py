"""Every error that tap raises for a user's mistake or a failed outside service.

TapError
├── ModelError        a model that does not import, run or have units
├── DataError         a loader that yields nothing, the wrong shape, or non-finite values
├── FormatError       an unknown number format, or one that does not fit a unit
├── TableError        an unreadable file, or one that belongs to another model
├── ProxyError        a program that does not parse, check or give finite scores
├── BudgetError       a budget with a wrong unit or form
├── InfeasibleError   no plan fits the budgets; carries the smallest achievable cost of each
├── PlanError         a plan with unknown fields, layers or version
├── ExportError       a plan that a target cannot load
├── StoreError        a search store in use by another process or of a newer version
├── LLMError          an endpoint that refused, timed out or answered nonsense
└── MissingExtraError an optional package that is not installed
"""

from __future__ import annotations


class TapError(Exception):
    """Base of all errors of tap: `message` says what and where, `hint` what to do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ModelError(TapError):
    """The model does not import, does not run on the data, or has no unit to quantize."""


class DataError(TapError):
    """The batches are empty, of the wrong shape, or hold values that are not finite."""


class FormatError(TapError):
    """A number format is unknown or does not fit the unit."""


class TableError(TapError):
    """A table, sensitivity or configurations file cannot be read or belongs to another model."""


class ProxyError(TapError):
    """A proxy program is rejected or gives a score that is not finite.

    Attributes:
        kind: stable error code, for example `"syntax"` or `"unknown-name"`.
        span: byte range of the offending text in the source.
        report: the message with the source line, carets and hint, as an LLM or a terminal reads it.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        kind: str = "proxy",
        span: tuple[int, int] = (0, 0),
        report: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.span = span
        self.report = report if report is not None else message


class BudgetError(TapError):
    """A budget cannot be understood."""


class InfeasibleError(TapError):
    """No assignment fits the budgets.

    Attributes:
        smallest: the smallest achievable total of each cost, by the budget's name.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, smallest: dict[str, float] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.smallest = dict(smallest or {})


class PlanError(TapError):
    """A plan file has unknown fields, unknown layers, a wrong fingerprint or a newer version."""


class ExportError(TapError):
    """A plan cannot be written for the target."""


class StoreError(TapError):
    """A search store is in use by another process, damaged, or of a newer version."""


class LLMError(TapError):
    """An LLM endpoint refused, timed out or answered something that cannot be used."""


class MissingExtraError(TapError):
    """An optional package is needed; the hint is the install command."""


def require_extra(module: str, *, extra: str, why: str) -> None:
    """Raise `MissingExtraError` with the install command when `module` cannot be imported.

    >>> require_extra("json", extra="none", why="reading JSON")
    """
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            f"{why} needs the package '{module}', which is not installed",
            hint=f"pip install 'tap-mpq[{extra}]'",
        )
