"""The commands: one complete run per file, for `tfzoo NAME` and `recipes/NAME.py`."""
