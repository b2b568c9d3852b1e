"""From a graph to a workbook: layout, formula text, styles, writing."""
