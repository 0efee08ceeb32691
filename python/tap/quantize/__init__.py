"""Fake-quantized models: weights and inputs in the formats of a plan, trainable, and undone bit for bit."""

from tap.quantize.model import quantize, restore
from tap.quantize.saved import save_weights
from tap.quantize.weights import QuantizedWeights, quantize_unit

__all__ = ["QuantizedWeights", "quantize", "quantize_unit", "restore", "save_weights"]
