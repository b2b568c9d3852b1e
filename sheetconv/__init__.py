"""sheetconv opens a convolutional network in a spreadsheet, as live formulas proven against torch."""

__version__ = "0.1.0"
