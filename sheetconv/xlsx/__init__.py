"""Workbooks as files: packages, cells, addresses."""
