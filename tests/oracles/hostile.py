"""Programs that nobody should write, and what a reader must do with each: refuse it or run it, quickly."""

from __future__ import annotations

import random
from collections.abc import Callable

MEGA = 1_000_000

REFUSED: dict[str, Callable[[], str]] = {
    "nested parentheses": lambda: "score = " + "(" * 100_000 + "1" + ")" * 100_000,
    "open parentheses": lambda: "score = " + "(" * 10 * MEGA,
    "closed parentheses": lambda: "score = " + ")" * 100_000,
    "mixed brackets": lambda: "score = " + "([{" * 100_000,
    "flat chain": lambda: "score = " + "+".join(["1"] * 100_000),
    "flat chain of names": lambda: "score = " + "*".join(["numel"] * 100_000),
    "unary chain": lambda: "score = " + "-" * 100_000 + "1",
    "mixed unary chain": lambda: "score = " + "-+" * 100_000 + "1",
    "not chain": lambda: "score = " + "not " * 100_000 + "1",
    "power chain": lambda: "score = " + "**".join(["1"] * 100_000),
    "hat chain": lambda: "score = " + "^".join(["1"] * 100_000),
    "unary power chain": lambda: "score = " + "2**-" * 50_000 + "1",
    "comparison chain": lambda: "score = " + "<".join(["1"] * 100_000),
    "nested calls": lambda: "score = " + "abs(" * 10_000 + "numel" + ")" * 10_000,
    "nested wheres": lambda: "score = " + "where(numel, " * 10_000 + "1" + ", 1)" * 10_000,
    "conditional chain": lambda: "score = " + "1 if 1 else " * 50_000 + "1",
    "many arguments": lambda: f"score = max({','.join(['numel'] * 100_000)})",
    "many axis words": lambda: f"score = sum(w, {','.join(['out'] * 100_000)})",
    "many lines": lambda: "a = numel\n" + "a = a + 1\n" * 100_000 + "score = a",
    "many names": lambda: "".join(f"a{i} = numel\n" for i in range(100_000)) + "score = 1",
    "many attributes": lambda: "score = w" + ".mean()" * 100_000,
    "huge exponent": lambda: "score = 1e999999",
    "endless exponent": lambda: "score = 1e" + "9" * 100_000,
    "many digits": lambda: "score = " + "9" * 100_000,
    "long name": lambda: "score = " + "a" * 100_000,
    "long binding": lambda: "a" * MEGA + " = 1",
    "half a number": lambda: "score = 1e",
    "signed half": lambda: "score = 1e+",
    "underscores": lambda: "score = 1_000",
    "hexadecimal": lambda: "score = 0x10",
    "imaginary": lambda: "score = 1j",
    "two dots": lambda: "score = 1..2",
    "lone dot": lambda: "score = .",
    "ellipsis": lambda: "score = ...",
    "infinity": lambda: "score = inf",
    "not a number": lambda: "score = nan",
    "number and name": lambda: "score = 2w",
    "lookalike letter": lambda: "sc\u043ere = 1\nscore = sc\u043ere",
    "greek pi": lambda: "score = \u03c0",
    "wide digits": lambda: "score = \uff11",
    "zero width space": lambda: "score = num\u200bel",
    "right to left": lambda: "score = \u202e1",
    "emoji": lambda: "score = \U0001f600",
    "minus sign": lambda: "score = \u22121",
    "non-breaking space": lambda: "score\u00a0= 1\nscore = \u00a0)",
    "lone surrogate": lambda: "score = \ud800",
    "nul byte": lambda: "score = 1\0+ 1",
    "nul bytes": lambda: "\0" * MEGA,
    "bell": lambda: "score = \a1",
    "backslash": lambda: "score = 1 \\ 2",
    "big comment": lambda: "#" + "x" * 10 * MEGA + "\nscore = 1",
    "big blank": lambda: " " * 10 * MEGA,
    "big newlines": lambda: "\n" * 10 * MEGA + "score = 1",
    "big program": lambda: "score = 1\n" * MEGA,
    "big line": lambda: "score = " + "1 +" * 4 * MEGA + "1",
    "nothing": lambda: "",
    "only a comment": lambda: "# score = 1",
    "only a name": lambda: "score",
    "itself": lambda: "score = score + 1",
    "only brackets": lambda: "()",
    "no operand": lambda: "score = 1 +",
    "two operands": lambda: "score = 1 2",
    "no value": lambda: "score =",
    "two equals": lambda: "a = b = 1\nscore = a",
    "assignment inside": lambda: "score = (a := 1)",
    "augmented": lambda: "score = 1\nscore += 1",
    "starred": lambda: "score = max(*w)",
    "keyword": lambda: "score = sum(w, axis=0)",
    "dim keyword": lambda: "score = sum(w, dim=(1, 2))",
    "tuple": lambda: "score = (1, 2)",
    "list": lambda: "score = [1] * 10 ** 9",
    "string": lambda: "score = 'a' * 10 ** 9",
    "dunder import": lambda: "score = __import__('os').system('true')",
    "classes": lambda: "score = ().__class__.__base__.__subclasses__()",
    "eval": lambda: "score = eval('1')",
    "open": lambda: "score = open('/etc/passwd')",
    "loop": lambda: "while True: pass",
    "comprehension": lambda: "score = sum(x for x in w)",
    "lambda": lambda: "score = (lambda x: x)(1)",
    "subscript": lambda: "score = w[0]",
    "and": lambda: "score = numel and macs",
    "modulo": lambda: "score = numel % 2",
    "floor division": lambda: "score = numel // 2",
    "conditional": lambda: "score = 1 if numel > 2 else 0",
    "unreduced": lambda: "score = w",
    "unreduced part": lambda: "score = mean(dw, out)",
    "reduced number": lambda: "score = sum(1)",
    "reduced column": lambda: "score = mean(numel)",
    "network of samples": lambda: "score = sum(rank(w))",
    "axis twice": lambda: "score = mean(w, out, out)",
    "axis not there": lambda: "score = mean(w, format)",
    "only axes": lambda: "score = sum(out)",
    "an axis as a value": lambda: "score = out",
    "axis first": lambda: "score = sum(out, w)",
    "no arguments": lambda: "score = sum()",
    "operator as a value": lambda: "score = sum",
    "input as an operator": lambda: "score = w(1)",
    "too many arguments": lambda: "score = abs(1, 2)",
    "quantile of nothing": lambda: "score = quantile(w)",
    "quantile above one": lambda: "score = quantile(w, 1.5)",
    "quantile below zero": lambda: "score = quantile(w, -0.1)",
    "quantile of a value": lambda: "score = quantile(w, numel)",
    "score too late": lambda: "a = score\nscore = 1",
    "tabs and junk": lambda: "\tscore\t=\t1\t!",
}
"""Each must be a ProxyError."""

ACCEPTED: dict[str, Callable[[], str]] = {
    "nested parentheses": lambda: "score = " + "(" * 50 + "numel" + ")" * 50,
    "carriage returns": lambda: "a = numel\r\nscore = a\r\n",
    "no last newline": lambda: "a = numel\nscore = a",
    "blank lines": lambda: "\n\n  \na = numel\n\n# words\n\nscore = a  # more\n\n",
    "continuation": lambda: "score = (\n  numel\n  + 0\n)",
    "comment with everything": lambda: "# \u03c0 ( [ { ' \" \\\nscore = numel",
    "doubling": lambda: "a = numel\n" + "a = a + a\n" * 60 + "score = a / 2 ** 60",
    "unary": lambda: "score = " + "- " * 30 + "numel",
    "rebinding an input": lambda: "numel = numel\nscore = numel",
    "bare": lambda: "numel",
}
"""Each must run, and its score is numel."""

_WORDS = """
score = ( ) , + - * / ** < <= == 1 2.5 1e-8 .5 w g dw numel bits z_mean out in_ pos format
sum mean max min where clip rank prev quantile pow exp a b # ; ^ % if else and not . [ ] : ' "
\\ def return lambda np. torch.log ``` @ ! ~ := -> in is None True axis=0 0x1 1j __class__
"""
_TOKENS = [*_WORDS.split(), "\n", "\t", "\r", "\0", "\u03c0"]


def soup(rng: random.Random) -> str:
    """Tokens of the language and of Python in any order."""
    return " ".join(rng.choice(_TOKENS) for _ in range(rng.randint(1, 30)))


def noise(rng: random.Random) -> str:
    """Characters in any order, mostly of the first 128."""
    top = rng.choice([128, 128, 256, 0x3000])
    return "".join(chr(rng.randrange(top)) for _ in range(rng.randint(0, 40)))


def damage(rng: random.Random, source: str) -> str:
    """A program with a few characters taken out, put in or exchanged."""
    text = list(source)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(text) + 1)
        change = rng.choice([[], [rng.choice("()+-*/,.=0e \n_x^<")], text[place : place + 5] * 2])
        text[place : place + rng.randint(0, 2)] = change
    return "".join(text)
