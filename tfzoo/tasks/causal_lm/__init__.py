"""Causal language models: training, generation, scoring."""
