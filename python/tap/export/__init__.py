"""Plans written for the stacks that run them: one file a target, checked before a byte is written."""

from tap.export.targets import TARGETS, Target, find
from tap.export.write import Exported, export

__all__ = ["TARGETS", "Exported", "Target", "export", "find"]
