"""API keys: read from the environment or a file, and kept out of everything that is printed or stored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tap.errors import LLMError

MASK = "[key]"


@dataclass(frozen=True, repr=False)
class Key:
    """A secret; `str` and `repr` show a mask."""

    secret: str

    def __repr__(self) -> str:
        """
        >>> Key("sk-123456789")
        Key([key])
        """
        return f"Key({MASK})"

    def __str__(self) -> str:
        return MASK

    def redact(self, text: str) -> str:
        """Replace the secret wherever it stands in `text`.

        >>> Key("sk-123456789").redact("bad key sk-123456789")
        'bad key [key]'
        """
        return text.replace(self.secret, MASK) if self.secret else text


def read_key(*, env: str | None, file: str | Path | None) -> Key:
    """The key in environment variable `env` or in `file` (its first line); no source gives an empty key."""
    if file is not None:
        try:
            lines = Path(file).expanduser().read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise LLMError(f"the key file {file} cannot be read: {error}") from error
        if not lines:
            raise LLMError(f"the key file {file} is empty")
        return Key(lines[0])
    if env is not None:
        secret = os.environ.get(env, "").strip()
        if not secret:
            raise LLMError(
                f"the environment variable {env} holds no key",
                hint=f"export {env}=... or name a file that holds the key",
            )
        return Key(secret)
    return Key("")
