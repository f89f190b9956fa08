"""WordPiece, as in BERT."""
