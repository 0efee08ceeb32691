"""Make a failing program smaller while it still fails, so that a report fits one line."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator


def shrink(source: str, fails: Callable[[str], bool]) -> str:
    """Replace expressions by their parts or by 1, drop lines, as long as `fails` stays true."""
    current, improved = source, True
    while improved:
        improved = False
        for smaller in _smaller(current):
            if len(smaller) < len(current) and fails(smaller):
                current, improved = smaller, True
                break
    return current


def _smaller(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    for place in range(len(tree.body) - 1):
        yield ast.unparse(ast.Module([*tree.body[:place], *tree.body[place + 1 :]], []))
    count = sum(isinstance(node, ast.expr) for node in ast.walk(tree))
    for target in range(count):
        for part in range(4):
            changed = _Replace(target, part).visit(ast.parse(source))
            yield ast.unparse(ast.fix_missing_locations(changed))


class _Replace(ast.NodeTransformer):
    """Puts the `part`-th operand of the `target`-th expression, or 1, in its place."""

    def __init__(self, target: int, part: int) -> None:
        self.left = target
        self.part = part

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr):
            if self.left == 0:
                self.left = -1
                if isinstance(getattr(node, "ctx", None), ast.Store):
                    return node
                parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
                if isinstance(node, ast.Call):
                    parts = parts[1:]
                parts.append(ast.Constant(1))
                return parts[min(self.part, len(parts) - 1)]
            self.left -= 1
        return super().visit(node)
