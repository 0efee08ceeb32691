"""Programs written differently that are the same formula: renamed, commuted, unfolded, rebound, reprinted."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable

COMMUTES = (ast.Add, ast.Mult)
PAIRED = ("min", "max")


def renamed(source: str, rng: random.Random) -> str:
    """Every binding but the last gets a new name; a name that was bound twice gets two."""
    tree, names = ast.parse(source), dict[str, str]()
    for number, statement in enumerate(tree.body):
        _rename(statement.value, names)  # type: ignore[attr-defined]
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
            assert isinstance(target, ast.Name)
            if statement is not tree.body[-1]:
                names[target.id] = f"{rng.choice('xyz_')}{number}"
                target.id = names[target.id]
    return ast.unparse(tree)


def _rename(value: ast.AST, names: dict[str, str]) -> None:
    for node in ast.walk(value):
        if isinstance(node, ast.Name) and node.id in names and not _is_called(value, node):
            node.id = names[node.id]


def _is_called(value: ast.AST, name: ast.Name) -> bool:
    return any(isinstance(node, ast.Call) and node.func is name for node in ast.walk(value))


def commuted(source: str, rng: random.Random) -> str:
    """The operands of some sums, products, equalities, and smaller or larger of two, change places."""

    class Swap(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.op, COMMUTES) and rng.random() < 0.5:
                node.left, node.right = node.right, node.left
            return node

        def visit_Compare(self, node: ast.Compare) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.ops[0], ast.Eq | ast.NotEq) and rng.random() < 0.5:
                node.left, node.comparators = node.comparators[0], [node.left]
            return node

        def visit_Call(self, node: ast.Call) -> ast.AST:
            self.generic_visit(node)
            axes = {"out", "in_", "pos", "format"}
            words = [one for one in node.args if isinstance(one, ast.Name) and one.id in axes]
            assert isinstance(node.func, ast.Name)
            if node.func.id in PAIRED and len(node.args) == 2 and not words and rng.random() < 0.5:
                node.args.reverse()
            return node

    return ast.unparse(Swap().visit(ast.parse(source)))


def unfolded(source: str, rng: random.Random) -> str:
    """Some numbers become expressions of numbers that give exactly them."""

    class Unfold(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            # The share of a quantile must be written as a number.
            first = isinstance(node.func, ast.Name) and node.func.id == "quantile"
            kept = node.args[1:] if first else []
            node.args = [self.visit(one) for one in node.args if one not in kept] + kept
            return node

        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            number = float(node.value)  # type: ignore[arg-type]
            forms: list[str] = [repr(number)]
            if number == int(number) and abs(number) < 1e6:
                forms += [f"({number - 1} + 1)", f"({2 * number} / 2)", f"(-({-number}))", f"({number} * 1)"]
            return ast.parse(rng.choice(forms), mode="eval").body

    return ast.unparse(Unfold().visit(ast.parse(source)))


def rebound(source: str, rng: random.Random) -> str:
    """The score goes through names of its own, and a binding that nothing reads stands before it."""
    *lines, last = source.strip().split("\n")
    value = last.removeprefix("score = ")
    return "\n".join([*lines, f"q1 = {value}", f"q2 = q1 * {rng.randint(2, 9)}", "q3 = (q1)", "score = q3"])


def respaced(source: str, rng: random.Random) -> str:
    """Comments, blank lines, parentheses and other ends of lines."""
    lines = []
    for line in source.strip().split("\n"):
        name, _, value = line.rpartition(" = ") if " = " in line else ("", "", line)
        start = f"{name}  =  " if name else ""
        lines += [
            f"{start}(\n  ( {value} )  # {rng.choice(['é', '(', ''])}\n)",
            rng.choice(["", "# w", "  "]),
        ]
    return rng.choice(["\n", "\r\n"]).join("\n".join(lines).split("\n"))


SAME: dict[str, Callable[[str, random.Random], str]] = {
    "renamed": renamed,
    "commuted": commuted,
    "unfolded": unfolded,
    "rebound": rebound,
    "respaced": respaced,
}
"""Ways to write a program anew that keep its formula."""
