"""`tap demo`: the whole flow on a small network and data that the package carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tap.demo.digits import Digits
    from tap.demo.network import DigitsNet


def model() -> DigitsNet:
    """The trained network: 16 units, 44,226 parameters."""
    from tap.demo.network import network

    return network()


def calibration() -> Digits:
    """200 images for the statistics."""
    from tap.demo.digits import digits

    return digits("calib")


def training() -> Digits:
    """797 images, those that the network was trained on."""
    from tap.demo.digits import digits

    return digits("train")


def evaluation() -> Digits:
    """800 images for the accuracy, on which the network is right 795 times."""
    from tap.demo.digits import digits

    return digits("eval")
