"""`tap bench`: proxies side by side on whole networks, measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tap import proxies as library
from tap.cli import options as o
from tap.cli.console import is_interactive, say, show
from tap.cli.proxies import source_of
from tap.errors import TapError

Cases = Annotated[
    list[str],
    typer.Argument(
        metavar="CASE...", help="digits, resnet20, resnet32, mobilenet, timm:NAME, hf:NAME or a .json file."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(bench)


def bench(
    case: Cases,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where all of it is kept.")],
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="PATH", help="Folder or file that the case reads."),
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option("--proxy", "-p", metavar="PROXY", help="Only these named ones, instead of all."),
    ] = None,
    discovered: Annotated[
        list[str] | None,
        typer.Option("--discovered", metavar="FILE", help="Found proxies, .tap files, beside them."),
    ] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option("--table", "-t", metavar="FILE", help="Tables at hand; each goes to its model."),
    ] = None,
    target: Annotated[
        list[Path] | None,
        typer.Option("--target", metavar="FILE", help="Truths at hand, what tap measure wrote."),
    ] = None,
    budget: o.Budgets = None,
    formats: o.Formats = None,
    configs: Annotated[
        int, typer.Option("--configs", min=0, metavar="N", help="Configurations of the truth at each budget.")
    ] = 40,
    random: Annotated[
        int, typer.Option("--random", min=0, metavar="N", help="Random plans measured at each budget.")
    ] = 20,
    samples: Annotated[
        int | None, typer.Option("--samples", "-n", min=1, metavar="N", help="Measure plans on N samples.")
    ] = None,
    plans_only: Annotated[
        bool, typer.Option("--plans-only", help="Compare measured plans; measure no truth that is not given.")
    ] = False,
    draws: Annotated[
        int, typer.Option("--draws", min=1, metavar="N", help="Bootstrap draws of the intervals.")
    ] = 1000,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare proxies: agreement with measured truth, and loss and top-1 of their plans, really quantized.

    Beside them: uniform, first and last unit protected, random, and the measured sensitivity. Writes
    result.json, result.md and charts. What is measured is kept in the folder: the same command goes on.

    Example: tap bench digits --out bench-out
    """
    from tap.bench.case import ready
    from tap.bench.run import Settings, run
    from tap.bench.truth import Given

    shown = not quiet and is_interactive()
    how = Settings(configs, random, draws, seed, progress=shown, truth=not plans_only)
    named = {name: source_of(name) for name in proxy or library.names()}
    found = {Path(name).stem: source_of(name) for name in discovered or ()}
    if both := sorted(set(named) & set(found)):
        raise TapError(f"'{both[0]}' is named and discovered", hint="give one of them another name")
    given = Given.load(table or (), target or ())
    nets = []
    for name in case:
        chosen = ready(name, data=data)
        chosen = replace(
            chosen,
            budgets=tuple(budget or chosen.budgets),
            formats=tuple(o.split(formats) or chosen.formats),
            evaluated=samples or chosen.evaluated,
        )
        say(f"{chosen.name}: {len(named) + len(found)} proxies, {len(chosen.budgets)} budgets", quiet=quiet)
        nets.append(run(chosen, out / chosen.name, named=named, discovered=found, given=given, settings=how))
    _write(nets, out)
    show(_shown(nets), as_json=as_json, quiet=quiet)
    say(f"{out}/result.json, result.md and charts", quiet=quiet)


def _write(nets: list[Any], out: Path) -> None:
    import tap
    from tap.bench import charts
    from tap.bench.result import Result
    from tap.bench.tables import markdown
    from tap.files import write_text

    Result(tuple(nets), str(tap.__version__)).save(out / "result.json")
    write_text(out / "result.md", markdown(nets))
    for net in nets:
        charts.save(net, out / net.name)


def _shown(nets: list[Any]) -> list[dict[str, Any]]:
    """One row a contestant that is in all cases."""
    from tap.bench.summary import overall

    return [
        {
            "contestant": one.name,
            "place by loss": one.loss_rank,
            "above uniform's loss": one.below,
            "of": one.compared,
            "mean top-1": one.accuracy,
            "place by agreement": one.rank,
            "worst agreement / ceiling": one.relative,
        }
        for one in overall(nets)
    ]
