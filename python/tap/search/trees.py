"""Programs as small trees over blocks and constants: read from text, written as text, varied at random.

A block is a subexpression that is one number for each unit (and format): an input, or a statistic such as
`sum(g2 * square(dw))`. Above the blocks all is elementwise or network-wide, so every tree is well typed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

BINARY = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div, "**": ast.Pow}
UNARY = ("sqrt", "square", "log", "log1p", "exp", "abs", "tanh", "reciprocal")
NETWORK = (
    "rank",
    "zscore",
    "minmax",
    "net_mean",
    "net_sum",
    "net_max",
    "cumsum",
    "suffix_mean",
    "prev",
    "next",
)
EXPONENTS = (-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 0.75, 1.5, 2.0)

_SYMBOLS = {kind: symbol for symbol, kind in BINARY.items()}


@dataclass(frozen=True)
class Tree:
    """`op` is a symbol, a function, `block` or `number`; `value` is the block's text or the number."""

    op: str
    children: tuple[Tree, ...] = ()
    value: str | float = 0.0

    def size(self) -> int:
        """Number of nodes."""
        return 1 + sum(child.size() for child in self.children)

    def blocks(self) -> Iterator[str]:
        """Texts of the blocks, from left to right, with repeats."""
        if self.op == "block":
            yield str(self.value)
        for child in self.children:
            yield from child.blocks()

    def text(self, names: Callable[[str], str] = str) -> str:
        """The expression; `names` says how a block is written."""
        if self.op == "block":
            return names(str(self.value))
        if self.op == "number":
            return _number(float(self.value))
        inner = [child.text(names) for child in self.children]
        if self.op in BINARY and len(inner) == 2:
            return f"({inner[0]} {self.op} {inner[1]})"
        return f"{self.op}({', '.join(inner)})"


def program(tree: Tree, *, width: int = 90) -> str:
    """The tree as a program; in a long one the statistics get names.

    >>> program(Tree("*", (Tree("block", (), "numel"), Tree("number", (), 2.0))))
    'score = numel * 2'
    """
    if len(tree.text()) <= width:
        return f"score = {_open(tree.text())}"
    named: dict[str, str] = {}
    for block in tree.blocks():
        if not block.isidentifier():
            named.setdefault(block, f"s{len(named) + 1}")
    lines = [f"{name} = {block}" for block, name in named.items()]
    return "\n".join([*lines, f"score = {_open(tree.text(lambda block: named.get(block, block)))}"])


def parse(code: str, is_block: Callable[[str], bool]) -> Tree | None:
    """The tree of a program; the largest subexpressions that are no operation of trees must be blocks.

    None when the program is no such tree (then it can be a parent for models only).

    >>> parse("a = sum(dw)\\nscore = a * 2", lambda text: text == "sum(dw)").text()
    '(sum(dw) * 2)'
    """
    try:
        statements = ast.parse(code).body
        bound: dict[str, ast.expr] = {}
        last: ast.expr | None = None
        for statement in statements:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                last = _Inline(bound).visit(statement.value)
                bound = {**bound, statement.targets[0].id: last}
            elif isinstance(statement, ast.Expr):
                last = _Inline(bound).visit(statement.value)
        root = bound.get("score", last)
        return None if root is None else _tree(root, is_block)
    except (SyntaxError, ValueError, RecursionError, _NotATree):
        return None


def grow(blocks: Sequence[str], random: np.random.Generator) -> Tree:
    """A new tree: a product of powers, or a sum of two, sometimes corrected over the network."""
    tree = _product(blocks, random)
    if random.random() < 0.3:
        tree = Tree(str(random.choice(["+", "-", "/"])), (tree, _product(blocks, random)))
    if random.random() < 0.2:
        tree = _normalised(tree, random)
    return tree


def vary(tree: Tree, other: Tree, blocks: Sequence[str], random: np.random.Generator) -> Tree:
    """A child of `tree`: one small change, or a part of `other` put in."""
    place = int(random.integers(tree.size()))
    part = _at(tree, place)
    draw = random.random()
    if draw < 0.25:
        return _tuned(tree, random)
    if draw < 0.45:
        new = Tree("block", (), _pick(blocks, random)) if part.op == "block" else grow(blocks, random)
    elif draw < 0.60:
        new = Tree("*", (part, Tree("**", (_block(blocks, random), _exponent(random)))))
    elif draw < 0.70:
        new = Tree(str(random.choice(["+", "-", "/"])), (part, _block(blocks, random)))
    elif draw < 0.78:
        new = Tree(str(random.choice(UNARY)), (part,))
    elif draw < 0.82:
        new = _normalised(part, random)
    elif draw < 0.92:
        new = (
            part.children[int(random.integers(len(part.children)))] if part.children else grow(blocks, random)
        )
    else:
        new = _at(other, int(random.integers(other.size())))
    return _put(tree, place, new)


def _product(blocks: Sequence[str], random: np.random.Generator) -> Tree:
    tree = _power(blocks, random)
    for _ in range(int(random.integers(0, 4))):
        tree = Tree("*", (tree, _power(blocks, random)))
    return tree


def _power(blocks: Sequence[str], random: np.random.Generator) -> Tree:
    block = _block(blocks, random)
    return block if random.random() < 0.4 else Tree("**", (block, _exponent(random)))


def _normalised(tree: Tree, random: np.random.Generator) -> Tree:
    """The tree relative to its mean or maximum over the network, or its place in it."""
    kind = str(random.choice(["net_mean", "net_max", "rank", "minmax", "suffix_mean", "cumsum"]))
    return Tree("/", (tree, Tree(kind, (tree,)))) if kind.startswith("net") else Tree(kind, (tree,))


def _tuned(tree: Tree, random: np.random.Generator) -> Tree:
    """The tree with one of its numbers moved; with a new exponent when it has none."""
    places = [place for place in range(tree.size()) if _at(tree, place).op == "number"]
    if not places:
        return Tree("**", (tree, _exponent(random)))
    place = places[int(random.integers(len(places)))]
    old = float(_at(tree, place).value)
    new = old + random.normal() * 0.3 if random.random() < 0.5 else old * float(np.exp(random.normal() * 0.3))
    return _put(tree, place, Tree("number", (), float(f"{new:.3g}")))


def _block(blocks: Sequence[str], random: np.random.Generator) -> Tree:
    return Tree("block", (), _pick(blocks, random))


def _pick(blocks: Sequence[str], random: np.random.Generator) -> str:
    return blocks[int(random.integers(len(blocks)))]


def _exponent(random: np.random.Generator) -> Tree:
    return Tree("number", (), EXPONENTS[int(random.integers(len(EXPONENTS)))])


def _at(tree: Tree, place: int) -> Tree:
    """The node at a place, counted from the root in reading order."""
    if place == 0:
        return tree
    place -= 1
    for child in tree.children:
        size = child.size()
        if place < size:
            return _at(child, place)
        place -= size
    raise IndexError("the tree has no such place")


def _put(tree: Tree, place: int, new: Tree) -> Tree:
    """The tree with the node at a place replaced."""
    if place == 0:
        return new
    place -= 1
    children = list(tree.children)
    for index, child in enumerate(children):
        size = child.size()
        if place < size:
            children[index] = _put(child, place, new)
            return Tree(tree.op, tuple(children), tree.value)
        place -= size
    raise IndexError("the tree has no such place")


def _open(text: str) -> str:
    """Without the parentheses around the whole."""
    if not text.startswith("("):
        return text
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[1:-1] if place == len(text) - 1 else text
    return text


def _number(value: float) -> str:
    text = f"{value:.6g}"
    return f"({text})" if text.startswith("-") else text


class _NotATree(Exception):
    """The expression holds something that is neither an operation of trees nor a block."""


class _Inline(ast.NodeTransformer):
    """Put the bound expressions in the place of their names."""

    def __init__(self, bound: dict[str, ast.expr]) -> None:
        self.bound = bound

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.bound.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        node.args = [self.visit(argument) for argument in node.args]
        return node


def _tree(node: ast.expr, is_block: Callable[[str], bool]) -> Tree:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return Tree("number", (), float(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return Tree("*", (Tree("number", (), -1.0), _tree(node.operand, is_block)))
    if isinstance(node, ast.BinOp) and type(node.op) in _SYMBOLS:
        children = (_tree(node.left, is_block), _tree(node.right, is_block))
        return Tree(_SYMBOLS[type(node.op)], children)
    text = ast.unparse(node)
    if is_block(text) and not _is_operation(node):
        return Tree("block", (), text)
    if _is_operation(node) and isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return Tree(node.func.id, tuple(_tree(argument, is_block) for argument in node.args))
    raise _NotATree(text)


def _is_operation(node: ast.expr) -> bool:
    """A call that trees know as an operation on values without sample axes."""
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in (*UNARY, *NETWORK)
    )
