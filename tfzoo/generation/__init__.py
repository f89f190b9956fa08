"""Search loops over a decoder's `step`, and logits processors."""

from tfzoo.generation.in_graph import decode

__all__ = ["decode"]
