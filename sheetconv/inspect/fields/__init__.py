"""Receptive fields: how much of the image a unit sees, by arithmetic, by formulas and by gradients.

`recurrence` has size, jump and start of each layer, `boxes` the exact field of each unit (both from the
captured graph's expressions, which know no layer), `formulas` the same from the formulas in a file, `gradient`
from torch's own operators; `proof` compares them. `effective` says how much each pixel within a field matters.
"""
