"""Search loops over a decoder's `step`, and the rules by which they choose."""

from tfzoo.generation.decoding import decode

__all__ = ["decode"]
