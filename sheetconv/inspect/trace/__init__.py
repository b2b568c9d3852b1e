"""What `sheetconv trace` prints and draws."""
