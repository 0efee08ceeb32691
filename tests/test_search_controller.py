"""Controllers: distributions, floors, learning, states."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tap.errors import TapError
from tap.search.controller import FLOOR, Outcome, build, choose, with_floor

NAMES = ["dpo", "thompson", "ucb", "exp3", "uniform", "fixed:1,2,1"]


def rollout(name: str, calls: int, seed: int, rates: tuple[float, ...] = (0.05, 0.6, 0.05)) -> np.ndarray:
    """How often each arm was drawn when arm a improves with rate rates[a]."""
    random, controller = np.random.default_rng(seed), build(name, len(rates))
    drawn = np.zeros(len(rates))
    for _ in range(calls // 8):
        pending, outcomes = np.zeros(len(rates)), []
        for _ in range(8):
            arm = choose(controller, random, pending)
            pending[arm] += 1
            outcomes.append(Outcome(arm, 0.1 if random.random() < rates[arm] else -0.1))
        controller.update(outcomes)
        drawn += pending
    return drawn


@pytest.mark.parametrize("name", NAMES)
def test_policy_is_a_distribution_and_floor_holds(name: str) -> None:
    controller, random = build(name, 3), np.random.default_rng(1)
    for _ in range(50):
        policy = with_floor(controller.policy(random, np.zeros(3)))
        assert policy.sum() == pytest.approx(1.0)
        assert policy.min() >= FLOOR - 1e-12
        controller.update([Outcome(0, -0.5), Outcome(1, 0.5), Outcome(2, -0.2)])


@pytest.mark.parametrize("name", ["dpo", "thompson", "ucb", "exp3"])
def test_learns_the_good_arm(name: str) -> None:
    drawn = sum(rollout(name, 400, seed) for seed in range(5))
    assert drawn.argmax() == 1
    assert drawn[1] > 0.5 * drawn.sum()


@pytest.mark.parametrize("name", NAMES)
def test_state_survives_json(name: str) -> None:
    first, second = build(name, 3), build(name, 3)
    first.update([Outcome(0, 0.3), Outcome(1, -0.1), Outcome(2, 0.0), Outcome(1, 0.2)])
    second.restore(json.loads(json.dumps(first.state())))
    first.update([Outcome(2, 0.3)])
    second.update([Outcome(2, 0.3)])
    one = [choose(first, np.random.default_rng(seed), np.zeros(3)) for seed in range(40)]
    two = [choose(second, np.random.default_rng(seed), np.zeros(3)) for seed in range(40)]
    assert one == two
    assert first.state() == second.state()


def test_dpo_step_is_the_gradient_of_its_loss() -> None:
    controller = build("dpo", 3)
    controller.restore({"theta": [0.2, -0.1, 0.4], "reference": [0.1, 0.0, 0.1]})
    before, reference = np.array(controller.state()["theta"]), np.array([0.1, 0.0, 0.1])

    def loss(theta: np.ndarray) -> float:
        log_ratio = (theta - np.log(np.exp(theta).sum())) - (reference - np.log(np.exp(reference).sum()))
        return -math.log(1.0 / (1.0 + math.exp(-(log_ratio[1] - log_ratio[0]))))

    controller.update([Outcome(1, 0.5), Outcome(0, 0.1)])
    step = np.array(controller.state()["theta"]) - before
    slope = [(loss(before + 1e-6 * unit) - loss(before - 1e-6 * unit)) / 2e-6 for unit in np.eye(3)]
    np.testing.assert_allclose(step, -0.5 * np.array(slope), atol=1e-8)


def test_dpo_ignores_ties_and_weighs_each_arm_pair_once() -> None:
    tied, many, one = build("dpo", 2), build("dpo", 2), build("dpo", 2)
    tied.update([Outcome(0, 0.1), Outcome(1, 0.1)])
    assert tied.state()["theta"] == [0.0, 0.0]
    many.update([Outcome(0, 0.2)] * 5 + [Outcome(1, 0.1)])
    one.update([Outcome(0, 0.2), Outcome(1, 0.1)])
    assert many.state() == one.state()


def test_dpo_stays_finite_however_long_it_learns() -> None:
    controller = build("dpo", 2)
    for _ in range(5_000):
        controller.update([Outcome(0, 1.0), Outcome(1, -1.0)])
    policy = controller.policy(np.random.default_rng(0), np.zeros(2))
    assert np.isfinite(policy).all()
    assert policy[0] > 0.9


def test_floor_gives_way_when_arms_are_many() -> None:
    policy = with_floor(np.eye(1, 40)[0])
    assert policy.sum() == pytest.approx(1.0)
    assert policy.min() == pytest.approx(0.5 / 40)


@pytest.mark.parametrize(
    "name", ["best", "fixed:", "fixed:1,2", "fixed:1,-1,1", "fixed:0,0,0", "fixed:1,nan,1"]
)
def test_wrong_names_say_so(name: str) -> None:
    with pytest.raises(TapError):
        build(name, 3)
