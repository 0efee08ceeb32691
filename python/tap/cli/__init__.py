"""The command line `tap`: one file a group of commands."""

from tap.cli.app import main

__all__ = ["main"]
