"""Models and batches by name: what is found, and one sentence for each way that a name can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tap.errors import DataError, MissingExtraError, ModelError
from tap.stats.sources import load_batches, load_model

FILE = """
import torch
def good(width="4"): return torch.nn.Linear(int(width), 2)
def number(): return 3
def broken(): raise RuntimeError("no such checkpoint")
def nan():
    model = torch.nn.Linear(2, 2)
    model.weight.data[0, 0] = float("nan")
    return model
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "models.py"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_function_of_a_file_with_and_without_its_argument(file: Path) -> None:
    assert load_model(f"{file}:good").in_features == 4
    assert load_model(f"{file}:good:7").in_features == 7
    assert not load_model(f"{file}:good").training


def test_a_function_of_a_package() -> None:
    assert load_model("tap.demo:model") is not None
    assert len(load_batches("tap.demo:evaluation")) == 7


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("{file}:good:x", "invalid literal"),
        ("{file}:number", "gives a int"),
        ("{file}:broken", "no such checkpoint"),
        ("{file}:nan", "'weight' holds values that are not finite"),
        ("{file}:missing", "has no function 'missing'"),
        ("{file}", "does not name a function"),
        ("nowhere.py:model", "there is no file nowhere.py"),
        ("no.such.package:model", "does not import"),
    ],
)
def test_a_wrong_model(file: Path, name: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        load_model(name.format(file=file))
    assert caught.value.hint


def test_a_file_that_does_not_import(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import nothing_of_this_name\n", encoding="utf-8")
    with pytest.raises(ModelError, match="ModuleNotFoundError: No module named 'nothing_of_this_name'"):
        load_model(f"{path}:model")


def test_wrong_data() -> None:
    with pytest.raises(DataError, match=r"there is no file loaders\.py"):
        load_batches("loaders.py:train")


@pytest.mark.parametrize("name", ["timm:resnet18", "hf:gpt2"])
def test_a_missing_extra_names_its_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(MissingExtraError) as caught:
        load_model(name)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("pip install 'tap-mpq[")
