"""What was changed in a workbook, back in torch: weights, predictions, scores, differences, another image."""
