"""What a notebook shows: pictures, tables, the plot of a running fit."""
