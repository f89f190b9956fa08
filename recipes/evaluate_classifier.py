"""The command `tfzoo evaluate-classifier`, for a clone.

python recipes/evaluate_classifier.py --help
"""

from tfzoo import cli
from tfzoo.commands.evaluate_classifier import main

if __name__ == "__main__":
    cli.run(main)
