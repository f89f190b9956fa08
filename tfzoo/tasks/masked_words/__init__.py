"""Masked words: pretraining, and filling gaps."""
