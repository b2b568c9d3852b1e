"""Tools that look into a workbook: trace, explain, receptive fields, lint, recover."""
