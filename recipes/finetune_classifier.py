"""The command `tfzoo finetune-classifier`, for a clone.

python recipes/finetune_classifier.py --help
"""

from tfzoo import cli
from tfzoo.commands.finetune_classifier import main

if __name__ == "__main__":
    cli.run(main)
