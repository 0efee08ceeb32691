"""The tables of a search store, as ordered steps: a new version appends a step, an old store takes it up."""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    # 1: everything a run is made of
    """
    CREATE TABLE run (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        settings TEXT NOT NULL,      -- JSON of Settings
        inputs TEXT NOT NULL,        -- JSON: fingerprints of tables and targets, names of the models
        tap_version TEXT NOT NULL,
        status TEXT NOT NULL,        -- running, finished
        reason TEXT NOT NULL         -- why it finished
    ) STRICT;
    CREATE TABLE generations (
        number INTEGER PRIMARY KEY,
        done INTEGER NOT NULL,
        controller TEXT NOT NULL,    -- JSON: the controller's state after the generation
        population TEXT NOT NULL,    -- JSON: ids of the candidates on each island after the generation
        summary TEXT NOT NULL,       -- JSON: best fitness, counts of verdicts, gains by origin
        random TEXT NOT NULL,        -- JSON: the seed and counter that all draws of the generation come from
        seconds REAL NOT NULL
    ) STRICT;
    CREATE TABLE prompts (
        id INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL REFERENCES generations (number),
        wave INTEGER NOT NULL,       -- 0: the prompts of the generation, 1: their repairs
        slot INTEGER NOT NULL,
        arm INTEGER NOT NULL,
        operator TEXT NOT NULL,      -- init, mutation, crossover, repair
        parents TEXT NOT NULL,       -- JSON: ids of candidates
        request_key TEXT NOT NULL,
        request TEXT NOT NULL,       -- JSON of Request
        UNIQUE (generation, wave, slot)
    ) STRICT;
    CREATE TABLE replies (
        prompt INTEGER PRIMARY KEY REFERENCES prompts (id),
        text TEXT NOT NULL,
        finish TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        reply_tokens INTEGER NOT NULL,
        counted INTEGER NOT NULL,
        money REAL,                  -- NULL: the price is unknown
        attempts INTEGER NOT NULL,
        seconds REAL NOT NULL,
        error TEXT NOT NULL
    ) STRICT;
    CREATE TABLE candidates (
        id INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL REFERENCES generations (number),
        origin TEXT NOT NULL,        -- init, mutation, crossover, repair, local, seed
        prompt INTEGER REFERENCES prompts (id),
        parents TEXT NOT NULL,       -- JSON: ids of candidates
        thought TEXT NOT NULL,
        code TEXT NOT NULL,
        hash TEXT NOT NULL,
        signature TEXT NOT NULL,
        verdict TEXT NOT NULL,       -- kept, scored, compile, finite, duplicate, twin
        reason TEXT NOT NULL,
        fitness REAL,
        ops INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX candidates_hash ON candidates (hash);
    CREATE TABLE scores (
        candidate INTEGER NOT NULL REFERENCES candidates (id),
        net TEXT NOT NULL,
        metric TEXT NOT NULL,        -- agreement, regret, accuracy
        value REAL NOT NULL,
        PRIMARY KEY (candidate, net, metric)
    ) STRICT;
    """,
)
