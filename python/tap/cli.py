"""The command line `tap`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    import tap

    print(f"tap {tap.__version__}")
