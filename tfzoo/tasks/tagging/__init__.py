"""Labels for the words of texts."""
