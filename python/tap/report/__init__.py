"""One self-contained HTML page about plans, measured truth, searches and benchmarks."""

from tap.report.page import Chart, Page, render
from tap.report.sources import Sources, read
from tap.report.whole import report_page

__all__ = ["Chart", "Page", "Sources", "read", "render", "report_page"]
