"""Text embeddings, and nearest neighbor search."""
