"""SentencePiece: Unigram and byte-pair encoding of whole texts, spaces included."""
