"""The commands together, and what becomes of an error: one line, a hint, an exit code."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tap.cli import (
    allocation,
    bench,
    config,
    demo,
    doctor,
    exports,
    finetuning,
    plans,
    proxies,
    quantizing,
    report,
    screening,
    search,
    statistics,
)
from tap.cli.console import complain, say
from tap.errors import LLMError, ProxyError, TapError

app = typer.Typer(
    name="tap",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Choose the numeric precision of each layer of a neural network.",
)
COMMANDS = (
    demo, statistics, proxies, screening, allocation, plans, exports, quantizing, finetuning, search,
    bench, report, doctor,
)  # fmt: skip
for module in COMMANDS:
    module.add_to(app)
for command in app.registered_commands:
    command.epilog = config.EPILOG


@app.callback()
def tap(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)
    ] = False,
    settings: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="TOML file with options of the command."),
    ] = None,
) -> None:
    if version:
        import tap

        typer.echo(f"tap {tap.__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command. 0: done, 1: something outside failed, 2: the user's mistake, 130: interrupted."""
    try:
        words = config.expand(arguments, typer.main.get_command(app))
        if words != list(arguments):
            say(f"tap {shlex.join(words)}", quiet=any(word in ("-q", "--quiet") for word in words))
        code = app(words, prog_name="tap", standalone_mode=False)
        if code == 130:
            complain("interrupted", "what was finished is kept; run the same command again to go on")
        return code if isinstance(code, int) else 0
    except ProxyError as error:
        complain(error.report, error.hint if error.hint and error.hint not in error.report else None)
        return 2
    except TapError as error:
        complain(error.message, error.hint)
        return 1 if isinstance(error, LLMError) else 2
    except KeyboardInterrupt:
        complain("interrupted", None)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        complain(
            f"{error.filename or 'a file'}: {error.strerror or error}",
            "check the path, its rights and the disk",
        )
        return 2 if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError) else 1
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "tap"
        complain(message(), f"{where} --help shows the options")
        return 2
