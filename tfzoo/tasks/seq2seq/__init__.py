"""Sequence to sequence: translation, summarization and the like."""
