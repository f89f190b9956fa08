"""The command `tfzoo finetune-seq2seq`, for a clone.

python recipes/finetune_seq2seq.py --help
"""

from tfzoo import cli
from tfzoo.commands.finetune_seq2seq import main

if __name__ == "__main__":
    cli.run(main)
