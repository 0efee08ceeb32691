"""Exports of a plan, one file per deployment target."""
