"""The command `tfzoo pretrain-bert`, for a clone.

python recipes/pretrain_bert.py --help
"""

from tfzoo import cli
from tfzoo.commands.pretrain_bert import main

if __name__ == "__main__":
    cli.run(main)
