"""Which text stands out on a tinted cell, in the light and in the dark theme, by the rule of WCAG 2.1."""

from __future__ import annotations

TINTS = {"light": ("#0b5cad", "#a33e00"), "dark": ("#6cb6ff", "#ff9d5c")}
"""Colour of cells above 0, and below 0."""
PAPER = {"light": "#ffffff", "dark": "#0d1117"}


def cell_classes(opacity: float, *, negative: bool = False) -> str:
    """Classes of a cell: `lw`, white text in the light theme, and `dw`, white text in the dark one.

    >>> cell_classes(0.1), cell_classes(0.9), cell_classes(0.9, negative=True)
    ('dw', 'lw', 'lw neg')
    """
    names = [
        f"{theme[0]}w"
        for theme in TINTS
        if contrast("#ffffff", blend(theme, opacity, negative))
        > contrast("#000000", blend(theme, opacity, negative))
    ]
    return " ".join([*names, "neg"] if negative else names)


def blend(theme: str, opacity: float, negative: bool = False) -> str:
    """The colour that a cell of that opacity has on the page.

    >>> blend("light", 0.0), blend("light", 1.0)
    ('#ffffff', '#0b5cad')
    """
    over, under = _parts(TINTS[theme][negative]), _parts(PAPER[theme])
    mixed = [round(opacity * a + (1 - opacity) * b) for a, b in zip(over, under, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1, 1.4.3).

    >>> contrast("#ffffff", "#000000")
    21.0
    """
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(color: str) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in _parts(color))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _parts(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
