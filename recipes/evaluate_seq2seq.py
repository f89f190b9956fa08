"""The command `tfzoo evaluate-seq2seq`, for a clone.

python recipes/evaluate_seq2seq.py --help
"""

from tfzoo import cli
from tfzoo.commands.evaluate_seq2seq import main

if __name__ == "__main__":
    cli.run(main)
