"""Sends the prompts of a wave, within the budget, and stores every reply the moment it comes.

The calls run in a thread of their own, so that the local search can use the time and so that a search also
runs where an event loop is already going (a notebook).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TypeVar

from tap.search.budget import Meter, Price, Spending
from tap.search.llm import LLM
from tap.search.records import Prompt
from tap.search.store import Store
from tap.search.wire import Reply, Request, estimate_tokens

T = TypeVar("T")


class Asker:
    """Asks models; what a call may cost at most is set aside before it is sent."""

    def __init__(
        self, llms: Sequence[LLM], store: Store, meter: Meter, prices: dict[str, Price], reply_tokens: int
    ) -> None:
        self.llms = list(llms)
        self.store = store
        self.meter = meter
        self.prices = prices
        self.reply_tokens = reply_tokens
        self._stopping = threading.Event()

    def most(self, request: Request) -> Spending:
        """The most one sending of `request` can cost."""
        tokens = estimate_tokens(request.system + request.user)
        return Spending(1, tokens + self.reply_tokens, self._money(request.model, tokens, self.reply_tokens))

    def admitted(self, prompts: Sequence[Prompt]) -> tuple[list[Prompt], str | None]:
        """The prompts, from the first on, that fit the budget all together; and what the next one lacks."""
        tickets, kept, refusal = [], [], None
        for prompt in prompts:
            refusal = self.meter.refusal(self.most(prompt.request))
            if refusal is not None:
                break
            tickets.append(self.meter.reserve(self.most(prompt.request)))
            kept.append(prompt)
        for ticket in tickets:
            self.meter.release(ticket)
        return kept, refusal

    def ask(self, prompts: Sequence[Prompt], meanwhile: Callable[[], T]) -> T:
        """Ask every prompt that has no reply yet, and do `meanwhile` at the same time; returns its result.

        The first Ctrl-C lets the calls in flight come home and then stops; the second one stops at once.
        An `LLMError` of any call is raised after all others have ended.
        """
        waiting = [prompt for prompt in prompts if self.store.reply(prompt.id) is None]
        failed: list[BaseException] = []
        thread = threading.Thread(target=self._run, args=(waiting, failed), daemon=True)
        if waiting:
            thread.start()
        try:
            result = meanwhile()
            if waiting:
                thread.join()
        except KeyboardInterrupt:
            self._stopping.set()
            if waiting:
                thread.join()
            raise
        if failed:
            raise failed[0]
        return result

    def _run(self, prompts: Sequence[Prompt], failed: list[BaseException]) -> None:
        try:
            asyncio.run(self._all(prompts))
        except BaseException as error:
            failed.append(error)

    async def _all(self, prompts: Sequence[Prompt]) -> None:
        tickets = [self.meter.reserve(self.most(prompt.request)) for prompt in prompts]
        async with AsyncExitStack() as stack:
            for llm in self.llms:
                await stack.enter_async_context(llm)
            ended = await asyncio.gather(
                *(self._one(prompt, ticket) for prompt, ticket in zip(prompts, tickets, strict=True)),
                return_exceptions=True,
            )
        for outcome in ended:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _one(self, prompt: Prompt, ticket: int) -> None:
        """One call: ask, account, store. A call that was never sent stays open."""
        sent = 0

        def attempt() -> bool:
            nonlocal sent
            allowed = not self._stopping.is_set() and (sent == 0 or self.meter.attempt(ticket))
            sent += int(allowed)
            return allowed

        llm = next(one for one in self.llms if one.name == prompt.request.model)
        left = self.meter.seconds_left()
        try:
            call = llm.ask(prompt.request, attempt)
            reply = await asyncio.wait_for(call, None if left == float("inf") else max(0.0, left))
        except asyncio.TimeoutError:
            reply = Reply(error="the time of the budget ended", attempts=sent)
        except BaseException:
            self.meter.release(ticket)
            raise
        reply = replace(reply, money=self._price(prompt.request.model, reply))
        if reply.attempts > 0:
            self.store.answer(prompt.id, reply)
        self.meter.settle(ticket, spending(reply))

    def _price(self, model: str, reply: Reply) -> float | None:
        """What the reply cost; a recorded price stands."""
        if reply.money is not None:
            return reply.money
        return self._money(model, reply.prompt_tokens, reply.reply_tokens)

    def _money(self, model: str, prompt_tokens: int, reply_tokens: int) -> float | None:
        price = self.prices.get(model)
        return None if price is None else price.of(prompt_tokens, reply_tokens)


def spending(reply: Reply) -> Spending:
    """What a reply cost."""
    return Spending(reply.attempts, reply.prompt_tokens + reply.reply_tokens, reply.money)
