"""One self-contained HTML page about a plan and what it was chosen from."""

from tap.report.page import Chart, Page, render
from tap.report.plan import plan_page

__all__ = ["Chart", "Page", "plan_page", "render"]
