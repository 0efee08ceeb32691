"""`--config FILE`: options of a command from a TOML file, as if they had been typed."""

from __future__ import annotations

import difflib
import importlib
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tap.errors import TapError

EPILOG = "Options can come from a TOML file: --config run.toml. Exit codes: 0 done, 1 failed, 2 wrong input."


def expand(arguments: Sequence[str], root: Any) -> list[str]:
    """The arguments with those of the file in `--config FILE` among them; what is typed wins.

    `root` is the group of all commands. The file has the options of one command as keys, or of several, each
    in a table of its name; keys outside of tables count for every command that has them. `command` names the
    command when none is typed.

    Raises:
        TapError: the file cannot be read, or has a key or value that no option takes.
    """
    rest, path = _split(arguments)
    if path is None:
        return list(arguments)
    document = _read(Path(path))
    words, node = _command(rest, root)
    if not words and isinstance(document.get("command"), str):
        words, node = _command(document["command"].split(), root)
        rest = [*words, *rest]
    if hasattr(node, "commands") or not words:
        raise TapError(
            f"{path} is for a command, and none is named", hint=f"tap COMMAND --config {shlex.quote(path)}"
        )
    typed = rest[len(words) :]
    settings = _settings(document, words, node, root, path)
    options, places = _as_arguments(settings, node, typed, path)
    return [*words, *options, *typed, *places]


def _split(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """The arguments without `--config FILE`, and the file."""
    rest: list[str] = []
    path, waiting = None, False
    for place, word in enumerate(arguments):
        if waiting:
            path, waiting = word, False
        elif word == "--":
            rest += arguments[place:]
            break
        elif word == "--config":
            waiting = True
        elif word.startswith("--config="):
            path = word.partition("=")[2]
        else:
            rest.append(word)
    if waiting:
        raise TapError("--config needs a file", hint="for example --config run.toml")
    return rest, path


def _read(path: Path) -> dict[str, Any]:
    reader = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return dict(reader.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise TapError(
            f"{path} cannot be read: {error.strerror}", hint="check the path after --config"
        ) from error
    except ValueError as error:
        raise TapError(
            f"{path} is not TOML: {error}", hint='lines are key = "text", numbers or lists'
        ) from error


def _command(words: Sequence[str], root: Any) -> tuple[list[str], Any]:
    """The leading words that name a command, and the command."""
    named: list[str] = []
    node = root
    for word in words:
        if word not in getattr(node, "commands", {}):
            break
        node = node.commands[word]
        named.append(word)
    return named, node


def _settings(
    document: Mapping[str, Any], words: Sequence[str], node: Any, root: Any, path: str
) -> dict[str, Any]:
    """Key and value of every setting for this command; a key of its table wins over a shared one."""
    shared = {
        key: value for key, value in document.items() if not isinstance(value, dict) and key != "command"
    }
    known = {name for command in _commands(root) for name in _names(command)}
    for key in shared:
        if _plain(key) not in known:
            raise _unknown(key, known, f"{path}: no command")
    own: Any = document
    for word in words:
        own = own.get(word, {}) if isinstance(own, dict) else {}
    groups = set(getattr(root, "commands", {}))
    for key, value in document.items():
        if isinstance(value, dict) and key not in groups:
            raise _unknown(key, groups, f"{path}: no command is called so;")
    names = _names(node)
    for key in own:
        if _plain(key) not in names:
            raise _unknown(key, names, f"{path}: tap {' '.join(words)}")
    settings = {_plain(key): value for key, value in shared.items() if _plain(key) in names}
    return settings | {_plain(key): value for key, value in own.items()}


def _as_arguments(
    settings: Mapping[str, Any], node: Any, typed: Sequence[str], path: str
) -> tuple[list[str], list[str]]:
    """Options, and arguments without a name, for the settings that were not typed."""
    context = node.make_context(node.name, list(typed), resilient_parsing=True)
    options: list[str] = []
    places: list[str] = []
    for param in node.params:
        key = next((key for key in _keys(param) if key in settings), None)
        source = context.get_parameter_source(param.name)
        if key is None or getattr(source, "name", "") == "COMMANDLINE":
            continue
        values = _texts(settings[key], key, param, path)
        if param.param_type_name == "argument":
            places += values
        elif getattr(param, "is_flag", False):
            options += [_long(param)] * (settings[key] is True)
        else:
            options += [f"{_long(param)}={value}" for value in values]
    return options, places


def _texts(value: Any, key: str, param: Any, path: str) -> list[str]:
    """A value as it is typed: one text each."""
    flag = bool(getattr(param, "is_flag", False))
    if isinstance(value, bool) != flag:
        wanted = "true or false" if flag else "text or a number"
        raise TapError(f"{path}: '{key}' is {value!r}", hint=f"{key} takes {wanted}")
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in values):
        raise TapError(f"{path}: '{key}' is {value!r}", hint=f"{key} takes text, a number, or a list of them")
    several = getattr(param, "multiple", False) or param.nargs != 1
    if len(values) > 1 and not several:
        if param.metavar != "LIST":
            raise TapError(f"{path}: '{key}' is a list", hint=f"{key} takes one value")
        return [",".join(map(str, values))]
    return [str(one) for one in values]


def _commands(node: Any) -> Iterator[Any]:
    for child in getattr(node, "commands", {}).values():
        yield from _commands(child) if hasattr(child, "commands") else (child,)


def _keys(param: Any) -> set[str]:
    """What a file may call a parameter: its long option, or the name of the argument."""
    if param.param_type_name == "argument":
        return {_plain(param.name)}
    return {_plain(option) for option in param.opts if option.startswith("--")}


def _names(command: Any) -> set[str]:
    return {key for param in command.params for key in _keys(param)} - {"help"}


def _long(param: Any) -> str:
    return next(str(option) for option in param.opts if option.startswith("--"))


def _plain(key: str) -> str:
    """One spelling of a key: max-calls for --max-calls and max_calls."""
    return key.lstrip("-").replace("_", "-")


def _unknown(key: str, known: set[str], where: str) -> TapError:
    near = difflib.get_close_matches(_plain(key), known, 3) or sorted(known)[:8]
    return TapError(f"{where} has no option '{key}'", hint=f"did you mean {', '.join(near)}?")
