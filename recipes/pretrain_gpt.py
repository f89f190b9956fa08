"""The command `tfzoo pretrain-gpt`, for a clone.

python recipes/pretrain_gpt.py --help
"""

from tfzoo import cli
from tfzoo.commands.pretrain_gpt import main

if __name__ == "__main__":
    cli.run(main)
