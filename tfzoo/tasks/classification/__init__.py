"""Text classification, with one or several labels, and regression."""
