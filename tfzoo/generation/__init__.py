"""Search loops over a decoder's `step`, and the rules by which they choose."""

from tfzoo.generation.in_graph import decode

__all__ = ["decode"]
