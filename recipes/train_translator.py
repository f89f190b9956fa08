"""The command `tfzoo train-translator`, for a clone.

python recipes/train_translator.py --help
"""

from tfzoo import cli
from tfzoo.commands.train_translator import main

if __name__ == "__main__":
    cli.run(main)
