"""`tap search`: look for proxies, with a model or without."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from tap.cli import options as o
from tap.cli.console import say, show
from tap.errors import StoreError, TableError, TapError

Tables = Annotated[
    list[Path] | None,
    typer.Option("--table", "-t", metavar="FILE", help="What tap collect wrote; one for each network."),
]
Targets = Annotated[
    list[Path] | None,
    typer.Option("--target", metavar="FILE", help="What tap measure wrote, in the order of the tables."),
]
HeldOut = Annotated[
    list[str] | None,
    typer.Option(
        "--held-out", metavar="TABLE,TARGET", help="A network that is scored once, at the end; repeatable."
    ),
]
Validation = Annotated[
    list[str] | None,
    typer.Option(
        "--validation", metavar="TABLE,TARGET",
        help="A network that chooses among the best programs, unseen by the search; repeatable.",
    ),
]  # fmt: skip
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--llm", metavar="LLM", help="none, openai:MODEL, openai:MODEL@URL, anthropic:MODEL or replay:FILE."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(search)


def search(
    table: Tables = None,
    target: Targets = None,
    held_out: HeldOut = None,
    validation: Validation = None,
    llm: Models = None,
    store: Annotated[Path | None, typer.Option("--store", metavar="FILE", help="Keep the run here.")] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="FILE", help="Go on with the run in this store.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Write all replies, for --llm replay:FILE."),
    ] = None,
    out: o.Folder = None,
    preset: Annotated[
        str, typer.Option("--preset", help="default, paper, iid, best-of-n or random.")
    ] = "default",
    generations: Annotated[
        int | None, typer.Option("--generations", min=1, metavar="N", help="Generations to run.")
    ] = None,
    local: Annotated[int | None, typer.Option("--local", min=0, help="Local tries a generation.")] = None,
    controller: Annotated[
        str | None,
        typer.Option(
            "--controller", metavar="NAME", help="thompson, dpo, exp3, ucb, uniform or fixed:W,W,W."
        ),
    ] = None,
    fitness: Annotated[str | None, typer.Option("--fitness", help="mixed, agreement or regret.")] = None,
    structured: Annotated[
        str | None,
        typer.Option(
            "--structured",
            metavar="FORM",
            help="How the endpoint is held to the form: text, json_object, json_schema, vllm, gbnf, "
            "gbnf-typed, lark.",
        ),
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option("--max-calls", min=0, metavar="N", help="Stop after N requests.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=0, metavar="N", help="Stop after N tokens.")
    ] = None,
    max_money: Annotated[
        float | None,
        typer.Option("--max-money", min=0, metavar="M", help="Stop after this much money, by --prices."),
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", min=0, metavar="S", help="Stop after so long.")
    ] = None,
    prices: Annotated[Path | None, typer.Option("--prices", metavar="FILE", help="JSON price table.")] = None,
    key_env: Annotated[
        str | None,
        typer.Option("--key-env", metavar="NAME", help="Environment variable that holds the API key."),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="File that holds the API key.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="S", help="Longest time of one request (300).")
    ] = None,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Look for a proxy that ranks the measured truth of these networks.

    Example: tap search -t r20.safetensors --target r20-configs.safetensors --llm none --store run.db -o found

    A run in a store goes on with: tap search --resume run.db
    """
    from tap.search import start
    from tap.search.budget import Budget, prices_from_json
    from tap.search.config import preset as settings_of

    budget = Budget(max_calls, max_tokens, max_money, max_seconds)
    changes: dict[str, Any] = {
        "generations": generations,
        "local": local,
        "controller": controller,
        "fitness": fitness,
        "structured": structured,
        "prices": None if prices is None else prices_from_json(_json(prices)),
    }
    given = {name: value for name, value in changes.items() if value is not None}
    raised = generations is not None or budget != Budget()
    settings = settings_of(preset, budget=budget, **given) if resume is None or raised else None
    if resume is not None and store is not None:
        raise StoreError("--store and --resume name a run each", hint="give one of them")
    known = _Files([], [], [], [], ["none"]) if resume is None or table else _Files.of(resume)
    files = _Files(
        table or known.tables,
        target or known.targets,
        held_out or known.held_out,
        validation or known.validation,
        llm or known.llm,
    )
    if not files.tables:
        raise TapError("no --table is given", hint="tap search --table T --target S, or --resume run.db")
    try:
        found = start.search(
            [_table(path) for path in files.tables],
            [_target(path) for path in files.targets],
            names=_names(files.tables),
            held_out=[_named("--held-out", text) for text in files.held_out],
            validation=[_named("--validation", text) for text in files.validation],
            llm=files.llm,
            record=record,
            origin=files.as_json(),
            store=resume if resume is not None else store,
            settings=settings,
            seed=seed,
            resume=resume is not None,
            key_env=key_env,
            key_file=key_file,
            timeout=timeout,
            progress=not quiet,
        )
    except KeyboardInterrupt:
        kept = resume if resume is not None else store
        say("nothing was kept" if kept is None else f"go on with: tap search --resume {kept}", quiet=quiet)
        raise
    if out is not None:
        found.save(out)
    _tell(found, as_json=as_json, quiet=quiet)


def _tell(found: Any, *, as_json: bool, quiet: bool) -> None:
    """The table of scores, why the search ended, and the best program."""
    rows = [
        {
            "program": row.name,
            **{f"agreement {net}": value for net, value in row.agreement.items()},
            "ops": row.ops,
        }
        for row in found.table
    ]
    show(rows, as_json=as_json, quiet=quiet)
    gains = ", ".join(f"{name} {value:+.4f}" for name, value in found.gains.items())
    say(f"{found.reason}; gain by origin: {gains or 'none'}", quiet=quiet)
    for net in found.beyond:
        say(
            f"on {net} the best is above the noise ceiling: it also fits the noise of this truth", quiet=quiet
        )
    if found.best:
        say(found.program, quiet=quiet)


@dataclass(frozen=True)
class _Files:
    """What a run reads, as the command line names it."""

    tables: Sequence[Path]
    targets: Sequence[Path]
    held_out: Sequence[str]
    validation: Sequence[str]
    llm: Sequence[str]

    def as_json(self) -> dict[str, list[str]]:
        return {
            "tables": [str(path.absolute()) for path in self.tables],
            "targets": [str(path.absolute()) for path in self.targets],
            "held_out": [_absolute(one) for one in self.held_out],
            "validation": [_absolute(one) for one in self.validation],
            "llm": list(self.llm),
        }

    @staticmethod
    def of(store: Path) -> _Files:
        """Those that the run in a store was started with."""
        from tap.search.store import Store

        if not store.is_file():
            raise StoreError(f"there is no store {store}", hint="start a run with --store")
        with Store(store) as opened:
            found = opened.run()
        origin = None if found is None else found[1].get("origin")
        if origin is None:
            raise StoreError(
                f"{store} does not say what its run reads", hint="name --table and --target again"
            )
        tables, targets = ([Path(path) for path in origin[name]] for name in ("tables", "targets"))
        return _Files(tables, targets, origin["held_out"], origin.get("validation", []), origin["llm"])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TapError(f"{path} is no JSON: {error}") from error


def _names(tables: Sequence[Path]) -> list[str]:
    """File names without suffix, with a number where they repeat."""
    stems = [path.stem for path in tables]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{number}" for number, stem in enumerate(stems, start=1)
    ]


def _table(path: Path) -> Any:
    from tap.stats.table import LayerTable

    return LayerTable.load(path)


def _target(path: Path) -> Any:
    """A `Configurations` or a `Sensitivity`, whichever the file holds."""
    from tap.configurations import Configurations
    from tap.sensitivity import Sensitivity

    try:
        return Configurations.load(path)
    except TableError:
        return Sensitivity.load(path)


def _named(option: str, text: str) -> tuple[str, Any, Any]:
    """The network of TABLE,TARGET."""
    table, comma, target = text.partition(",")
    if not comma:
        raise TapError(
            f"'{text}' names no table and target", hint=f"{option} table.safetensors,target.safetensors"
        )
    return Path(table).stem, _table(Path(table)), _target(Path(target))


def _absolute(pair: str) -> str:
    """TABLE,TARGET from any folder."""
    return ",".join(str(Path(name).absolute()) for name in pair.split(","))
