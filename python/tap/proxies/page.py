"""The page of the named proxies, docs/proxies.md, written from the headers of their files."""

from __future__ import annotations

import textwrap

from tap import proxies

OPENING = """\
# Named proxies

A proxy predicts how much the loss of a network grows when a unit is in a format. These are the known ones,
each a program of the [proxy language](language.md), with where it comes from and what is not as there. `tap
proxies` lists them, `tap proxies NAME` prints one, and `tap allocate --proxy NAME` decides by it. A score
without a format is a sensitivity of the unit and is multiplied by the squared weight error `dw2` of each
format. A large score means harm, so what its authors maximise is negated here.

Each is compared with an implementation in PyTorch that shares nothing with it, in double precision and one
sample at a time, on a small network (`tests/oracles/proxies.py`). This page is written from the files by
`make docs`.
"""

CLOSING = """\
## Measured, not predicted

Two scores of the literature are measurements and cost a run of the network for each unit and format: the
growth of the loss when one unit alone is quantized (the *naive* method of MQBench, the diagonal of CLADO),
and the same with the divergence of the outputs, which needs no labels (ModelOpt's `kl_div`, CLADO). `tap
measure` gives both (`--loss`), and `tap bench` decides by them beside the proxies as *measured
sensitivity*.

## Without a form for one unit

These score a whole network and say nothing of its units: jacob_cov (Mellor et al., 2020), NASWOT (Mellor et
al., ICML 2021), Zen-score (Lin et al., ICCV 2021), NTK condition number and linear regions (Chen et al.,
TE-NAS, ICLR 2021). They cannot allocate bits.
"""


def markdown() -> str:
    """The page: a table of all proxies, then each with its header and program.

    >>> markdown().splitlines()[0]
    '# Named proxies'
    """
    headers = [proxies.header(name) for name in proxies.names()]
    rows = [f"| [{header.name}](#{header.name}) | {_cell(header.title)} |" for header in headers]
    table = "\n".join(["| name | what it is |", "|---|---|", *rows])
    parts = [OPENING, table + "\n", *map(_section, headers), CLOSING]
    return "\n".join(parts)


def _section(header: proxies.Header) -> str:
    program = [line for line in proxies.source(header.name).splitlines() if not line.startswith("#")]
    facts = (
        ("Formula", f"`{header.formula}`"),
        ("Source", header.source),
        ("Inputs", ", ".join(f"`{name}`" for name in header.inputs)),
        ("Differs", header.differs),
    )
    lines = [_item(f"{name}: {text}") for name, text in facts]
    return "\n".join(
        [f"## {header.name}", "", header.title + ".", "", *lines, "", "```text", *program, "```", ""]
    )


def _item(text: str) -> str:
    """One point of a list, folded."""
    return textwrap.fill(
        text, 118, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
