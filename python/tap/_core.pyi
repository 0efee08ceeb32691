"""The Rust core: proxy programs, rank correlation and bit allocation."""

__all__ = ["__version__"]

__version__: str
