"""What formulas say: references, syntax, blocks, precedents."""
