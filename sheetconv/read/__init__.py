"""From a workbook back: safe reading, recalculation engines, verification."""
