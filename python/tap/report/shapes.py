"""Two charts for a search: a funnel of what became of candidates, and the tree of where one comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tap.report.axes import Frame, figure, marker, text


@dataclass(frozen=True)
class Node:
    """One candidate: its place (x, y), the ids of its parents, and what its tooltip says."""

    id: int
    x: float
    y: float
    parents: tuple[int, ...]
    style: int
    tip: str
    ancestor: bool = False
    """Whether the best one descends from it; drawn strong."""


def funnel(steps: Sequence[tuple[str, int]], *, label: str) -> str:
    """Horizontal bars, one a step, each as long as its count; what is lost on the way is said beside it."""
    left, side, full = 190.0, 30.0, 320.0
    most = max((count for _, count in steps), default=0) or 1
    parts = []
    for index, (name, count) in enumerate(steps):
        y, long = 6 + index * side, full * count / most
        lost = steps[index - 1][1] - count if index else 0
        said = f"{count:,}" + (f"  (−{lost:,})" if lost > 0 else "")
        parts.append(text(left - 8, y + 16, name, "axis", anchor="end"))
        size = f'width="{max(long, 1):.1f}" height="{side - 8:.0f}"'
        parts.append(
            f'<g class="b6"><title>{escape(f"{name}: {said}")}</title>'
            f'<rect x="{left:.0f}" y="{y:.0f}" {size} rx="2"/></g>'
        )
        parts.append(text(left + long + 6, y + 16, said, "value"))
    return figure(left + full + 110, 10 + side * len(steps), label, parts)


def tree(nodes: Sequence[Node], *, label: str, x_name: str, y_name: str, styles: Mapping[int, str]) -> str:
    """Candidates with lines to their parents; those that the best one descends from are drawn strong."""
    frame = Frame(
        [node.x for node in nodes],
        [node.y for node in nodes],
        x_name=x_name,
        y_name=y_name,
        width=640,
        height=340,
    )
    place = {node.id: node for node in nodes}
    faint: list[str] = []
    strong: list[str] = []
    marks: list[str] = []
    for node in nodes:
        x, y = frame.x(node.x), frame.y(node.y)
        for parent in (place[id] for id in node.parents if id in place):
            bold = node.ancestor and parent.ancestor
            line = (
                f'<line class="{"kin" if bold else "edge"}" x1="{frame.x(parent.x):.1f}" '
                f'y1="{frame.y(parent.y):.1f}" x2="{x:.1f}" y2="{y:.1f}"/>'
            )
            (strong if bold else faint).append(line)
        drawn = marker(node.style, x, y, node.tip, size=5 if node.ancestor else 3)
        marks.append(f'<g class="s{node.style % 8}{"" if node.ancestor else " faint"}">{drawn}</g>')
    legend = []
    for index, (style, name) in enumerate(styles.items()):
        x, y = frame.left + index * 110, frame.height + 14
        legend.append(f'<g class="s{style % 8}">{marker(style, x, y - 4, "", size=5)}</g>')
        legend.append(text(x + 11, y, name, "axis"))
    return figure(frame.width, frame.height + 22, label, [*frame.parts, *faint, *strong, *marks, *legend])
