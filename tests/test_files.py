"""Files are written whole or not at all, and checked when read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tap.errors import TableError
from tap.files import load_arrays, save_arrays, written_whole


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), written_whole(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("power cut")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_arrays_come_back_and_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_arrays(path, kind="table", version=1, arrays={"a": np.arange(3.0)}, meta={"units": ["x"]})
    arrays, meta = load_arrays(path, kind="table", version=1)
    assert arrays["a"].tolist() == [0, 1, 2]
    assert meta == {"units": ["x"]}
    with pytest.raises(TableError, match="holds table, not sensitivity"):
        load_arrays(path, kind="sensitivity", version=1)
    with pytest.raises(TableError, match="version 1"):
        load_arrays(path, kind="table", version=2)


def test_garbage_is_an_error_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(b"nonsense" * 10)
    with pytest.raises(TableError, match="cannot be read") as caught:
        load_arrays(path, kind="table", version=1)
    assert caught.value.hint
