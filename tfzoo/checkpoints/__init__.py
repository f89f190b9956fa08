"""Checkpoint formats: tensor names and arrays, no model architectures."""
