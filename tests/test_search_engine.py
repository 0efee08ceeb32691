"""Whole searches: same seed same run, resume after any kill, replay, budgets, a server that misbehaves."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search_runs import IDEAS, REFERENCES, SETTINGS, answer, content, run
from search_world import net, truth
from servers import misbehaving as bad
from tap.errors import LLMError, StoreError, TableError
from tap.screen import screen
from tap.search import start
from tap.search.budget import Budget, Price
from tap.search.config import PAPER_IMAGES, preset
from tap.search.fitness import PlanAccuracy, regret
from tap.search.llm import Endpoint, HttpLLM
from tap.search.recording import Mock, read_recording, write_recording
from tap.search.store import Store
from tap.search.wire import Request

RUNS = Path(__file__).parent / "search_runs.py"


def test_a_run_finds_writes_and_explains(tmp_path: Path) -> None:
    result = run(tmp_path / "run.db")
    best = result.best[0]
    assert result.reason == "all generations done"
    assert best.fitness is not None
    assert best.fitness > 0.95
    assert set(result.table[0].agreement) == {"net1", "net2", "held"}
    assert {row.name for row in result.table} >= set(REFERENCES)
    assert result.lineage[-1].id == best.id
    assert sum(result.gains.values()) == pytest.approx(best.fitness)
    assert result.spent.calls >= 4
    assert result.spent.money is None
    written = result.save(tmp_path / "out")
    text = (tmp_path / "out" / "best-1.tap").read_text()
    assert "# agreement on held" in text
    assert text.rstrip().endswith(best.code.rstrip())
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert len(written) == len(result.best) + 2
    assert scores["held_out"] == ["held"]


def test_every_verdict_is_kept_with_its_reason(tmp_path: Path) -> None:
    run(tmp_path / "run.db", settings=replace(SETTINGS, generations=6, local=0))
    with Store(tmp_path / "run.db") as store:
        candidates = store.candidates()
    seen = {one.verdict: one.reason for one in candidates}
    assert {"kept", "compile", "finite", "duplicate"} <= set(seen)
    assert "summ" in seen["compile"]
    assert "candidate" in seen["duplicate"]
    assert all(one.fitness is None for one in candidates if one.verdict not in ("kept", "scored"))
    assert any(one.origin == "repair" for one in candidates)


def test_held_out_is_never_shown(tmp_path: Path) -> None:
    run(tmp_path / "run.db")
    with Store(tmp_path / "run.db") as store:
        requests = [request for request, _ in store.recording()]
        assert all(name != "held" for one in store.candidates() for name, _, _ in one.scores)
    assert requests
    assert not any("held " in request.user or "held:" in request.user for request in requests)


def test_validation_chooses_among_what_was_found_and_is_never_shown(tmp_path: Path) -> None:
    other = net(7)
    chosen = run(tmp_path / "run.db", validation=[("sealed7", other.table, other.target)])
    plain = run(tmp_path / "plain.db")
    assert chosen.validation == ("sealed7",)
    assert content(tmp_path / "run.db")["candidates"] == content(tmp_path / "plain.db")["candidates"]
    with Store(tmp_path / "run.db") as store:
        known = [one for one in store.candidates() if one.fitness is not None]
        assert not any("sealed7" in request.user for request, _ in store.recording())
    worth = {one.id: screen([one.code], other.table, other.target).spearman[0] for one in known}
    best = [worth[one.id] for one in chosen.best]
    assert best == sorted(best, reverse=True)
    assert best[0] == max(value for value in worth.values() if np.isfinite(value))
    assert chosen.table[0].agreement["sealed7"] == pytest.approx(best[0])
    assert {one.id for one in plain.best} <= {one.id for one in known}


def test_among_programs_that_validation_cannot_tell_apart_the_smallest_comes_first(tmp_path: Path) -> None:
    judges = [net(seed) for seed in (7, 8, 9)]
    chosen = run(
        tmp_path / "run.db",
        validation=[(f"sealed{at}", one.table, one.target) for at, one in enumerate(judges)],
    )
    with Store(tmp_path / "run.db") as store:
        known = [one for one in store.candidates() if one.fitness is not None]
    assert len(known) < 200
    worth = {
        one.id: [float(screen([one.code], each.table, each.target).spearman[0]) for each in judges]
        for one in known
    }
    worth = {number: values for number, values in worth.items() if np.isfinite(values).all()}
    best = max(worth, key=lambda number: sum(worth[number]))
    level = []
    for number, values in worth.items():
        behind = [first - own for first, own in zip(worth[best], values, strict=True)]
        mean = sum(behind) / 3
        error = (sum((each - mean) ** 2 for each in behind) / 2 / 3) ** 0.5
        if mean <= error:
            level.append(number)
    ops = {one.id: one.ops for one in known}
    assert chosen.best[0].id in level
    assert ops[chosen.best[0].id] == min(ops[number] for number in level)


def test_same_seed_same_run_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, seed=seed)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a")["candidates"] != content(tmp_path / "c")["candidates"]


def test_killed_after_any_commit_it_goes_on_as_if_nothing_happened(tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    run(whole)
    expected, asked_in_all = content(whole), len(content(whole)["replies"])
    commits = 0
    while True:
        commits += 1
        path = tmp_path / f"killed-{commits}.db"
        killed = subprocess.run([sys.executable, str(RUNS), str(path), str(commits)], check=False)
        if killed.returncode == 0:
            break
        assert killed.returncode == -9
        asked: list[str] = []

        def counted(request: Request, asked: list[str] = asked) -> str:
            asked.append(request.key)
            return answer(request)

        with Store(path) as store:
            stored, begun = [request.key for request, _ in store.recording()], store.run() is not None
        run(path, llm=Mock(counted), resume=begun)
        assert not set(asked) & set(stored)
        assert len(asked) + len(stored) == asked_in_all
        assert content(path) == expected
    assert commits > 10


def test_a_finished_run_is_read_and_a_longer_one_goes_on(tmp_path: Path) -> None:
    run(tmp_path / "short.db")
    again = run(tmp_path / "short.db", resume=True, settings=None, llm=Mock([]))
    assert again.reason == "all generations done"
    longer = replace(SETTINGS, generations=4)
    run(tmp_path / "short.db", resume=True, settings=longer)
    run(tmp_path / "long.db", settings=longer)
    assert content(tmp_path / "short.db") == content(tmp_path / "long.db")


def test_a_recorded_run_replays_to_the_same_program(tmp_path: Path) -> None:
    first = run(tmp_path / "run.db")
    with Store(tmp_path / "run.db") as store:
        write_recording(tmp_path / "run.jsonl", store.recording(), models=["mock"])
    second = run(tmp_path / "again.db", llm=f"replay:{tmp_path / 'run.jsonl'}")
    assert second.program == first.program
    assert content(tmp_path / "run.db") == content(tmp_path / "again.db")
    with pytest.raises(LLMError, match="no reply"):
        run(tmp_path / "other.db", llm=read_recording(tmp_path / "run.jsonl"), seed=9)


def test_wrong_stores_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "run.db", llm="none")
    with pytest.raises(StoreError, match="already holds"):
        run(tmp_path / "run.db", llm="none")
    with pytest.raises(StoreError, match="other networks or models"):
        run(tmp_path / "run.db", resume=True)
    with pytest.raises(StoreError, match="holds no run"):
        run(tmp_path / "none.db", resume=True)
    with Store(tmp_path / "run.db"), pytest.raises(StoreError, match="in use"):
        run(tmp_path / "run.db", llm="none", resume=True)


def test_tables_and_truths_must_fit() -> None:
    one, other = net(1), net(2)
    with pytest.raises(TableError):
        run(None, names=["a", "a"])
    with pytest.raises(TableError):
        run(None, held_out=[("x", one.table, other.target)])


@pytest.mark.parametrize(
    "budget",
    [Budget(calls=3), Budget(tokens=25_000), Budget(money=0.03), Budget(seconds=0.0), Budget(calls=0)],
)
def test_budgets_are_never_passed(budget: Budget) -> None:
    settings = replace(SETTINGS, generations=30, local=0, prices={"mock": Price(1.0, 2.0)}, budget=budget)
    result = run(None, settings=settings)
    assert result.reason.startswith("budget of")
    assert budget.calls is None or result.spent.calls <= budget.calls
    assert budget.tokens is None or result.spent.tokens <= budget.tokens
    assert budget.money is None or (result.spent.money or 0.0) <= budget.money


def test_without_a_model_the_local_search_runs_alone() -> None:
    result = run(None, llm="none", settings=replace(SETTINGS, local=2_000))
    assert set(result.gains) == {"local"}
    assert result.spent.calls == 0
    assert result.tried == 4_000
    assert result.best[0].fitness > max(
        sum(row.agreement[name] for name in ("net1", "net2")) / 2
        for row in result.table
        if row.candidate is None
    )


@pytest.mark.parametrize("whole", [True, False])
def test_regret_as_fitness_finds_what_chooses_well(whole: bool) -> None:
    one = net(1, whole=whole)
    exact = truth(one.table)
    assert regret(one, exact) <= (0.2 if whole else 1e-12)
    assert regret(one, -exact) > regret(one, exact)
    settings = replace(SETTINGS, fitness="regret", local=0)
    result = start.search(one.table, one.target, llm=Mock(answer), settings=settings, references=REFERENCES)
    assert result.best[0].fitness <= 0.0
    assert result.best[0].fitness == -result.best[0].score("net1", "regret")


def test_a_plan_is_measured_once_and_counts_in_the_fitness() -> None:
    one, measured = net(1), []

    def measure(choice: np.ndarray) -> float:
        measured.append(choice.tobytes())
        return float(choice.mean() / 2)

    costs = np.array([[2.0, 3.0, 4.0]] * len(one.table.units))
    evaluate = PlanAccuracy(costs, 30.0, measure)
    result = start.search(
        one.table, one.target, llm=Mock(answer), settings=SETTINGS, references={}, evaluate=[evaluate]
    )
    assert len(measured) == len(set(measured)) > 0
    best = result.best[0]
    expected = 0.9 * best.score("net1", "agreement") + 0.1 * best.score("net1", "accuracy")
    assert best.fitness == pytest.approx(expected)


@pytest.mark.parametrize("name", ["paper", "iid", "best-of-n", "random"])
def test_presets_run(name: str) -> None:
    settings = preset(name, generations=2, calls=2, local=200 if name == "random" else 0)
    result = run(None, settings=settings, llm="none" if name == "random" else Mock(answer))
    assert result.best
    operators = {one.origin for one in result.lineage}
    assert name != "iid" or operators <= {"init", "repair"}


def test_the_paper_preset_is_the_papers() -> None:
    paper = preset("paper")
    assert (paper.generations, paper.alpha, paper.controller, paper.local) == (5, 0.1, "dpo", 0)
    assert PAPER_IMAGES == 16


def test_islands_migrate_and_controllers_all_run() -> None:
    for name in ("uniform", "exp3", "ucb", "thompson", "fixed:1,1,2"):
        settings = replace(SETTINGS, islands=2, migrate=1, controller=name, local=100)
        assert run(None, settings=settings).best


def test_two_models_are_arms_of_one_controller() -> None:
    result = run(
        None, llm=[Mock(answer, name="a"), Mock(answer, name="b")], settings=replace(SETTINGS, calls=4)
    )
    assert result.best


def test_units_one_at_a_time_are_a_truth_too() -> None:
    one = net(1, whole=False)
    settings = replace(SETTINGS, local=500)
    result = start.search(one.table, one.target, llm=Mock(answer), settings=settings, references=REFERENCES)
    assert result.best[0].fitness > 0.9


# ---- a server that misbehaves


def served(request: dict) -> str:
    """What the mock would answer, from the body that came over the wire."""
    system, user = (message["content"] for message in request["messages"])
    return answer(Request(system, user, "m"))


ACTS = [
    bad.status(429, retry_after="0.01"),
    bad.status(429),
    bad.status(500),
    bad.cut(),
    bad.hang_up,
    bad.drip(1.0),
    bad.body(b'{"choices": [{"mess'),
    bad.body(b"<html>busy</html>", content_type="text/html"),
    bad.body(b"x" * 10_000_000),
    bad.status(302, location="http://127.0.0.1:1/"),
    bad.body(bad.completion("I would rather not.", finish="sun_exploded")),
    bad.body(bad.completion('{"candidates": [{"thought": "t", "code": "score = dw2 * bits"}, {"thou')),
]


def test_a_misbehaving_server_costs_calls_but_no_candidates(tmp_path: Path) -> None:
    with bad.Server(ACTS, answer=served) as server:
        endpoint = Endpoint("m", base_url=server.url, total_seconds=0.5, retries=2, concurrency=2)
        settings = replace(SETTINGS, generations=4, calls=3, budget=Budget(calls=60), local=0)
        result = run(tmp_path / "run.db", llm=HttpLLM(endpoint), settings=settings)
        assert result.reason == "all generations done"
        assert result.spent.calls == len(server.bodies) <= 60
    with Store(tmp_path / "run.db") as store:
        candidates = store.candidates()
    assert any(one.code == "score = dw2 * bits" for one in candidates)
    assert result.best[0].code in {*IDEAS, "score = dw2 * bits", "score = sum(square(dw)) * numel"}


def test_a_server_that_is_gone_ends_the_run_with_what_is_there() -> None:
    with bad.Server() as server:
        url = server.url
    endpoint = Endpoint("m", base_url=url, retries=0)
    result = run(None, llm=HttpLLM(endpoint), settings=replace(SETTINGS, generations=9))
    assert result.reason.startswith("every call of 3 generations failed")
    assert result.best[0].origin == "local"


def test_a_refused_key_stops_and_the_run_goes_on_later(tmp_path: Path) -> None:
    with bad.Server([bad.status(401)] * 2, answer=served) as server:
        endpoint = Endpoint("m", base_url=server.url, retries=0)
        with pytest.raises(LLMError, match="refused the key"):
            run(tmp_path / "run.db", llm=HttpLLM(endpoint))
        result = run(tmp_path / "run.db", llm=HttpLLM(endpoint), resume=True)
        assert result.reason == "all generations done"


def test_parents_too_long_for_the_prompt_are_left_out(tmp_path: Path) -> None:
    def wordy(request: Request) -> str:
        many = " + ".join(["0.1 * dw2"] * 60)
        number = int(request.key[:8], 16)
        codes = [f"score = trace ** {(number + 7 * place) % 50 / 10} * dw2 + {many}" for place in range(5)]
        return json.dumps({"candidates": [{"thought": "", "code": code} for code in codes]})

    settings = replace(SETTINGS, controller="fixed:0,0,1", generations=4, local=0, repair=False)
    operators = {}
    for tokens in (6_000, 2_700, 2_300):
        store = tmp_path / f"{tokens}.db"
        one = replace(settings, prompt_tokens=tokens)
        start.search(
            [net(1).table], [net(1).target], llm=Mock(wordy), settings=one, references={}, store=store
        )
        with Store(store) as kept:
            operators[tokens] = {prompt.operator for prompt in kept.prompts(3, wave=0)}
    assert operators == {6_000: {"crossover"}, 2_700: {"mutation"}, 2_300: {"init"}}
