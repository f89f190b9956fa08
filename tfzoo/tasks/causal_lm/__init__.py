"""The next token: training, generating, scoring."""
