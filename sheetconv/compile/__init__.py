"""From a torch module to a graph, and what torch computes for it."""
