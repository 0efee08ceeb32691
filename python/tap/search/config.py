"""Settings of a search: every number that shapes a run, with its default and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tap.errors import StoreError, TapError
from tap.search.budget import Budget, Price, prices_from_json
from tap.search.wire import STRUCTURED

FITNESS = ("mixed", "agreement", "regret")


@dataclass(frozen=True)
class Settings:
    """Immutable and stored with the run; the same settings, seed, inputs and replies give the same run."""

    seed: int = 0
    generations: int = 20
    calls: int = 4
    """LLM calls of a generation (ours)."""
    children: int = 5
    """Candidates asked for in one call (APD)."""
    population: int = 10
    """Survivors of a generation on each island (APD uses 5)."""
    islands: int = 1
    """1 is APD's single population."""
    migrate: int = 5
    """Generations between two migrations of the best to the next island (ours)."""
    controller: str = "thompson"
    fitness: str = "mixed"
    alpha: float = 0.1
    """Weight of the accuracy kept in the mixed fitness (the paper's best value)."""
    local: int = 200_000
    """Programs that the local search tries in one generation; 0 switches it off (ours)."""
    fresh: float = 0.1
    """Share of the local search's programs that are grown anew; 1 is random search."""
    max_ops: int = 40
    """Operations that a program of the local search may have."""
    repair: bool = True
    """Give candidates that do not compile back once."""
    prompt_tokens: int = 6_000
    """Bound on a prompt (APD stayed under as many)."""
    reply_tokens: int = 4_096
    """Tokens a reply may have."""
    temperature: float = 0.5
    """APD's."""
    structured: str = "text"
    """How the endpoint is held to the form of the reply; see `tap.search.wire.STRUCTURED`."""
    budget: Budget = field(default_factory=Budget)
    prices: Mapping[str, Price] = field(default_factory=dict)
    """Money for a million tokens, by the model's name; a model without one has an unknown price."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, by name."""
        for name in ("generations", "calls", "children", "population", "islands", "migrate", "max_ops"):
            if getattr(self, name) < 1:
                raise TapError(f"{name} is {getattr(self, name)}", hint="give a whole number of at least 1")
        if self.local < 0 or self.reply_tokens < 1 or self.prompt_tokens < 1:
            raise TapError("local, reply_tokens and prompt_tokens must not be negative")
        for name in ("alpha", "fresh"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise TapError(f"{name} is {getattr(self, name)}", hint="give a number from 0 to 1")
        if self.structured not in STRUCTURED:
            raise TapError(f"there is no form '{self.structured}'", hint="one of " + ", ".join(STRUCTURED))
        if self.fitness not in FITNESS:
            raise TapError(f"there is no fitness '{self.fitness}'", hint="one of " + ", ".join(FITNESS))

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Settings:
        """Read what `as_json` wrote; a field this version does not know is a `StoreError`."""
        unknown = sorted(set(record) - {one.name for one in fields(Settings)})
        if unknown:
            raise StoreError(f"the run has settings this tap does not know: {', '.join(unknown)}")
        return Settings(
            **{
                **record,
                "budget": Budget(**record.get("budget", {})),
                "prices": prices_from_json(record.get("prices", {})),
            }
        )


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"generations": 5, "population": 5, "controller": "dpo", "alpha": 0.1, "local": 0},
    "default": {},
    "iid": {"controller": "fixed:1,0,0", "local": 0},
    "best-of-n": {"controller": "fixed:0,1,0", "population": 1, "local": 0},
    "random": {"fresh": 1.0},
}
"""`paper`: T_max 5 generations, DPO controller and alpha 0.1 are the paper's, population 5 is APD's; local
search, which is ours, is off. The paper collects statistics from `PAPER_IMAGES` unlabelled images.
`iid` (init prompts alone), `best-of-n` (mutate the best so far) and `random` (programs grown anew, no model)
are the baselines; with `llm="none"` the default is genetic programming alone."""

PAPER_IMAGES = 16


def preset(name: str, **changes: Any) -> Settings:
    """The settings of a preset with `changes` on top.

    >>> preset("paper", seed=3).generations
    5
    """
    if name not in PRESETS:
        raise TapError(f"there is no preset '{name}'", hint="one of " + ", ".join(sorted(PRESETS)))
    return replace(Settings(**PRESETS[name]), **changes)
