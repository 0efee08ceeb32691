"""Batches of every form, run through models of every output, and the errors they can hold."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tap.errors import DataError, ModelError
from tap.stats.batches import IGNORED, Batches, logits_of


def test_forms_of_a_source() -> None:
    x, y = torch.randn(5, 3), torch.arange(5)
    forms = [x, (x, y), {"input": x}, [x], [(x, y)], [{"input": x, "labels": y}], [[x, y]]]
    for form in forms:
        data = Batches(form)
        assert (len(data), data.n_samples) == (1, 5)
        (batch,) = data
        assert data.run(nn.Linear(3, 2), batch).shape == (5, 2)
    assert [Batches(form).targets(next(iter(Batches(form)))) is None for form in forms] == [
        True, False, True, True, False, False, False,
    ]  # fmt: skip


def test_a_shuffling_loader_gives_the_same_samples_twice() -> None:
    loader = DataLoader(TensorDataset(torch.randn(64, 2), torch.arange(64)), batch_size=16, shuffle=True)
    data = Batches(loader)
    once = torch.cat([data.targets(batch) for batch in data])
    twice = torch.cat([data.targets(batch) for batch in data])
    assert torch.equal(once, twice)
    assert sorted(once.tolist()) == list(range(64))


def test_limit_and_split_keep_the_order() -> None:
    x = torch.arange(10.0).reshape(10, 1)
    data = Batches([x[:4], x[4:]])
    assert torch.equal(torch.cat([b.args[0] for b in data.limit(6)]), x[:6])
    assert [b.size for b in data.split(3)] == [3, 1, 3, 3]
    assert torch.equal(torch.cat([b.args[0] for b in data.split(3)]), x)
    assert data.limit(100).n_samples == 10


def test_an_endless_loader_stops_at_the_wanted_samples() -> None:
    def endless() -> object:
        while True:
            yield torch.ones(4, 2)

    assert Batches(endless(), samples=10).n_samples == 10


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "empty"),
        ([torch.zeros(0, 3)], "batch 0 is empty"),
        ([torch.ones(2, 3), torch.full((2, 3), math.nan)], "batch 1 holds values that are not finite"),
        ([(torch.ones(2, 3), torch.zeros(3, dtype=torch.long))], "2 inputs and targets of shape"),
        ([(torch.ones(1), torch.ones(1), torch.ones(1))], "3 parts"),
        ([["a", "b"]], "no tensor"),
        (7, "cannot be iterated"),
    ],
)
def test_bad_data_is_named(source: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        Batches(source)
    assert caught.value.hint


def test_a_wrong_shape_names_the_batch() -> None:
    data = Batches([torch.ones(2, 3), torch.ones(2, 4)])
    batches = list(data)
    model = nn.Linear(3, 1)
    data.run(model, batches[0])
    with pytest.raises(DataError, match=r"batch 1 \(input 0 \[2, 4\]\)"):
        data.run(model, batches[1])


def test_logits_in_every_form_of_output() -> None:
    logits = torch.randn(2, 3)
    for output in (
        logits, {"logits": logits}, SimpleNamespace(logits=logits), (logits, None), [logits],
        {"loss": None, "ids": torch.ones(2, dtype=torch.long), "out": logits}, ((logits,), 1),
    ):  # fmt: skip
        assert logits_of(output) is logits
    with pytest.raises(ModelError, match="no floating-point tensor"):
        logits_of({"ids": torch.ones(2, dtype=torch.long)})


def test_inputs_follow_the_dtype_of_the_model() -> None:
    data = Batches(torch.ones(2, 3))
    assert data.run(nn.Linear(3, 1).bfloat16(), next(iter(data))).dtype == torch.bfloat16


def test_targets_of_a_causal_model_are_the_next_tokens() -> None:
    class TinyForCausalLM(nn.Linear):
        pass

    data = Batches({"input_ids": torch.tensor([[4, 5, 6]]), "labels": torch.tensor([[4, 5, 6]])})
    (batch,) = data
    assert data.targets(batch, TinyForCausalLM(1, 1)).tolist() == [[5, 6, IGNORED]]
    assert data.targets(batch, nn.Linear(1, 1)).tolist() == [[4, 5, 6]]


@pytest.mark.parametrize("n", [0, 1, 3, 4, 7])
def test_cut_keeps_every_sample_once(n: int) -> None:
    data = Batches([torch.arange(3.0)[:, None], torch.arange(3.0, 7.0)[:, None]])
    first, rest = data.cut(n)
    assert (first.n_samples, rest.n_samples) == (n, 7 - n)
    values = [value for part in (first, rest) for batch in part for value in batch.args[0].flatten().tolist()]
    assert values == list(range(7))
    assert sum(batch.size for batch in first) == n
