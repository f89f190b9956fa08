"""The command `tfzoo train-tokenizer`, for a clone.

python recipes/train_tokenizer.py --help
"""

from tfzoo import cli
from tfzoo.commands.train_tokenizer import main

if __name__ == "__main__":
    cli.run(main)
