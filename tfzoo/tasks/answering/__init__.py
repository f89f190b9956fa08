"""Answers to questions out of contexts."""
