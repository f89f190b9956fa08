"""Vectors for texts, and search among them."""
