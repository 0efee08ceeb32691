"""`tap.search`: starts a search or takes one up again, and gathers its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from tap.errors import ProxyError, StoreError, TableError
from tap.proxy import Proxy
from tap.screen import screen
from tap.search import fitness as terms
from tap.search.budget import Budget
from tap.search.config import Settings
from tap.search.engine import Engine
from tap.search.judge import ACCURACY, AGREEMENT
from tap.search.llm import LLM
from tap.search.llms import connect
from tap.search.nets import Net, Scores, check_choices, check_nets
from tap.search.planning import GRAMMARS, Planner
from tap.search.prompts import input_names, language_manual, reply_grammar
from tap.search.recording import write_recording
from tap.search.records import Candidate
from tap.search.result import Row, SearchResult, lineage
from tap.search.store import Store
from tap.search.view import View, view
from tap.stats.table import LayerTable

T = TypeVar("T")
VALIDATED, OF_SIZE = 200, 10
"""Validation networks choose among so many of the fittest, and the fittest so many of each size."""


def search(
    tables: LayerTable | Sequence[LayerTable],
    targets: Any,
    *,
    llm: str | LLM | Sequence[str | LLM] | None = "none",
    budget: Budget | None = None,
    store: str | Path | None = None,
    seed: int = 0,
    settings: Settings | None = None,
    held_out: Sequence[tuple[str, LayerTable, Any]] = (),
    validation: Sequence[tuple[str, LayerTable, Any]] = (),
    references: Mapping[str, str] | None = None,
    evaluate: Sequence[Callable[[Scores], float] | None] | None = None,
    names: Sequence[str] | None = None,
    resume: bool = False,
    key_env: str | None = None,
    key_file: str | Path | None = None,
    timeout: float | None = None,
    keep: int = 5,
    progress: bool = False,
    live: View | None = None,
    record: str | Path | None = None,
    origin: Mapping[str, Any] | None = None,
) -> SearchResult:
    """Search for proxies that rank the measured truth of one or several networks.

    Args:
        tables, targets: one or a list; each target is a `Sensitivity` or a `Configurations`.
        llm, key_env, key_file, timeout: see `tap.search.llms.connect`; `none` runs the local search alone.
        store: the SQLite file of the run; without one the run leaves nothing behind.
        seed, budget: take the place of those in `settings`.
        held_out: (name, table, target) of networks that are scored once, at the end.
        validation: the same of networks that no fitness and no prompt reads: the smallest program comes first
            that agrees as well there as the best one, against programs that fit the search networks alone.
        references: named programs to compare with, all of `tap.proxies` by default.
        evaluate: for each network, the accuracy kept by a plan; see `tap.search.fitness.PlanAccuracy`.
        resume: go on with the run in `store`, under its own settings; `budget` and `settings` may only raise
            the budget and the number of generations.
        record: a file of all replies, for `replay:FILE`; written when the run ends, however it ends.
        origin: kept in the store for whoever resumes the run, such as the names of its files.

    A run that ends at a budget, or at an endpoint that fails, gives what was found until then. Raises
    `TableError` for tables and targets of different models, `StoreError` for a store of another run or in
    use, `LLMError` for a refused key or an unknown model.

    >>> table, truth = _example()
    >>> found = search(table, truth, settings=Settings(generations=1, local=300), references={})
    >>> found.reason, round(found.table[0].agreement["net1"], 3)
    ('all generations done', 1.0)
    """
    nets = _nets(tables, targets, evaluate, names)
    extra = [Net(name, table, target) for name, table, target in held_out]
    judges = [Net(name, table, target) for name, table, target in validation]
    check_nets([*nets, *judges, *extra])
    given = settings if settings is not None else Settings()
    if given.fitness == "regret":
        check_choices(nets)
    chosen = replace(given, seed=seed, budget=budget if budget is not None else given.budget)
    llms = connect(llm, key_env=key_env, key_file=key_file, timeout=timeout)
    named = _references() if references is None else dict(references)
    shown = live if live is not None else view(progress)
    with _opened(store) as opened:
        raised = settings is not None or budget is not None
        chosen = _settled(opened, chosen, nets, llms, resume, raised=raised, origin=origin)
        planner = Planner(
            chosen,
            [one.name for one in llms],
            nets,
            language_manual(_inputs(nets), program_only=chosen.structured in GRAMMARS),
            reply_grammar(chosen.structured, _inputs(nets)),
            _standing(named, nets),
        )
        engine = Engine(chosen, nets, llms, opened, planner, shown)
        try:
            reason = engine.run()
        finally:
            shown.close()
            if record is not None:
                write_recording(record, opened.recording(), models=[one.name for one in llms])
        return _result(engine, reason, nets, judges, extra, named, keep)


def _settled(
    store: Store,
    settings: Settings,
    nets: Sequence[Net],
    llms: Sequence[LLM],
    resume: bool,
    *,
    raised: bool,
    origin: Mapping[str, Any] | None,
) -> Settings:
    """The settings of the run: new ones are written down, those of a run that goes on are read."""
    from tap import __version__

    inputs = {
        "nets": [[net.name, net.table.fingerprint, net.by_configurations] for net in nets],
        "models": [llm.name for llm in llms],
    }
    found = store.run()
    if found is None:
        if resume:
            raise StoreError(f"{store.path} holds no run", hint="start one without resume")
        noted = {} if origin is None else {"origin": dict(origin)}
        store.begin(settings.as_json(), {**inputs, **noted}, str(__version__))
        return settings
    if not resume:
        raise StoreError(f"{store.path} already holds a run", hint="resume it, or name another file")
    if {name: value for name, value in found[1].items() if name != "origin"} != inputs:
        raise StoreError(
            f"{store.path} holds a run on other networks or models", hint=f"it was started with {found[1]}"
        )
    stored = Settings.from_json(found[0])
    if raised:
        stored = replace(stored, budget=settings.budget, generations=settings.generations)
        store.reopen(stored.as_json())
    return stored


def _nets(
    tables: LayerTable | Sequence[LayerTable],
    targets: Any,
    evaluate: Sequence[Callable[[Scores], float] | None] | None,
    names: Sequence[str] | None,
) -> list[Net]:
    listed, truths = _listed(tables), _listed(targets)
    if not listed or len(listed) != len(truths):
        raise TableError(
            f"{len(listed)} tables and {len(truths)} targets were given",
            hint="give one target for each table",
        )
    called = list(names) if names is not None else [f"net{number}" for number in range(1, len(listed) + 1)]
    judges = evaluate if evaluate is not None else [None] * len(listed)
    if len(called) != len(listed) or len(judges) != len(listed):
        raise TableError(
            f"{len(called)} names and {len(judges)} evaluations were given for {len(listed)} tables"
        )
    return [Net(*one) for one in zip(called, listed, truths, judges, strict=True)]


def _inputs(nets: Sequence[Net]) -> set[str]:
    """Names of the inputs that every net has."""
    return set.intersection(*(set(input_names(net.table)) for net in nets))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


@contextmanager
def _opened(path: str | Path | None) -> Iterator[Store]:
    """The store, in a folder that goes away when the run should leave nothing."""
    if path is not None:
        with Store(path) as store:
            yield store
        return
    with TemporaryDirectory(prefix="tap-search-") as folder, Store(Path(folder) / "run.db") as store:
        yield store


def _references() -> dict[str, str]:
    from tap import proxies

    return {name: proxies.load(name).source for name in proxies.names()}


def _row(name: str, source: str, nets: Sequence[Net], candidate: int | None = None) -> Row:
    """Score one program on all nets."""
    agreement: dict[str, float] = {}
    accuracy: dict[str, float] = {}
    ops = 0
    for net in nets:
        try:
            proxy = Proxy(source)
            scores, ops = proxy.score(net.table), proxy.ops
        except (ProxyError, TableError):
            agreement[net.name] = float("nan")
            continue
        agreement[net.name] = net.agreement(scores)
        kept = terms.accuracy_kept(replace(net, evaluate=None), scores)
        if kept is not None:
            accuracy[net.name] = kept
    return Row(name, agreement, accuracy, ops, candidate)


def _standing(references: Mapping[str, str], nets: Sequence[Net]) -> list[str]:
    """The best named proxy, as prompts tell it."""
    rows = [_row(name, source, nets) for name, source in sorted(references.items())]
    means = {row.name: float(np.mean(list(row.agreement.values()))) for row in rows}
    finite = {name: value for name, value in means.items() if np.isfinite(value)}
    if not finite:
        return []
    best = max(finite, key=lambda name: (finite[name], name))
    code = "; ".join(
        line.strip()
        for line in references[best].splitlines()
        if line.strip() and not line.strip().startswith("#")
    )
    return [f"best known proxy by hand: {best}, mean agreement {finite[best]:.3f}: {code}"]


def _validated(known: Sequence[Candidate], judges: Sequence[Net]) -> list[Candidate]:
    """The fittest candidates; first, by size, those that the validation networks cannot tell from the best.

    A program is told from the best when its agreement lies lower on the mean of the networks by more than the
    standard error of that difference (the one-standard-error rule: Breiman et al., CART, 1984, ch. 3.4.3).
    """
    scored = [one for one in known if one.fitness is not None]
    fittest = sorted(scored, key=lambda one: (-(one.fitness or 0.0), one.id))
    sizes = Counter[int]()
    pool = []
    for place, one in enumerate(fittest):
        sizes[one.ops] += 1
        if place < VALIDATED or sizes[one.ops] <= OF_SIZE:
            pool.append(one)
    if not pool:
        return []
    found = [screen([one.code for one in pool], net.table, net.target) for net in judges]
    worth = np.stack([np.where(one.ok, one.spearman, -np.inf) for one in found])
    mean, ops = worth.mean(axis=0), np.array([one.ops for one in pool])
    behind = worth[:, np.argmax(mean), None] - np.maximum(worth, -1e9)
    error = behind.std(axis=0, ddof=1) / np.sqrt(len(judges)) if len(judges) > 1 else 0.0
    level = np.isfinite(mean) & (behind.mean(axis=0) <= error)
    order = np.lexsort((np.arange(len(pool)), -mean, np.where(level, ops, 0), ~level))
    return [pool[at] for at in order]


def _result(
    engine: Engine,
    reason: str,
    nets: Sequence[Net],
    judges: Sequence[Net],
    extra: Sequence[Net],
    references: Mapping[str, str],
    keep: int,
) -> SearchResult:
    """The best candidates and every reference, on all nets; here the held-out ones are scored, once."""
    best = _validated(engine.judge.known, judges)[:keep] if judges else engine.population.members()[:keep]
    everywhere = [*nets, *judges, *extra]
    rows = [_row(f"candidate {one.id}", one.code, everywhere, one.id) for one in best] + [
        _row(name, source, everywhere) for name, source in sorted(references.items())
    ]
    return SearchResult(
        best=tuple(_with_held_out(one, row, extra) for one, row in zip(best, rows, strict=False)),
        table=tuple(rows),
        nets=tuple(net.name for net in nets),
        validation=tuple(net.name for net in judges),
        held_out=tuple(net.name for net in extra),
        ceiling={net.name: float(net.target.ceiling) for net in everywhere},
        reason=reason,
        spent=engine.meter.spent,
        seconds=engine.meter.seconds(),
        gains=dict(engine.gains),
        tried=engine.local.tried,
        lineage=lineage(best[0] if best else None, engine.judge.known),
        settings=engine.settings.as_json(),
    )


def _with_held_out(candidate: Candidate, row: Row, extra: Sequence[Net]) -> Candidate:
    """The candidate with its scores on the held-out nets."""
    scores = [(net.name, AGREEMENT, row.agreement[net.name]) for net in extra]
    scores += [(net.name, ACCURACY, row.accuracy[net.name]) for net in extra if net.name in row.accuracy]
    return replace(candidate, scores=(*candidate.scores, *scores))


def _example() -> tuple[LayerTable, Any]:
    """A table of four units and its truth, for the example of this page."""
    from types import SimpleNamespace

    from tap.stats.units import Unit

    units = tuple(
        Unit(name, "linear", size, 4, 1, 4 * size) for name, size in zip("abcd", (2, 4, 8, 3), strict=True)
    )
    error = np.array([[0.5, 0.1], [0.9, 0.2], [0.1, 0.02], [0.3, 0.1]])
    table = LayerTable(units, ("int2", "int4"), {"bits": np.tile([2.0, 4.0], (4, 1)), "dw2": error})
    values = error * np.array([[2.0], [4.0], [8.0], [3.0]])
    truth = SimpleNamespace(
        units=tuple("abcd"), formats=table.formats, values=values, fingerprint="", ceiling=1.0
    )
    return table, truth
