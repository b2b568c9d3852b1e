"""A network as a graph of tensors, each with one formula for all of its cells."""
