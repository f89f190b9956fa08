"""Token classification: labels for the words of texts."""
