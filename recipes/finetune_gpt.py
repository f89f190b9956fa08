"""The command `tfzoo finetune-gpt`, for a clone.

python recipes/finetune_gpt.py --help
"""

from tfzoo import cli
from tfzoo.commands.finetune_gpt import main

if __name__ == "__main__":
    cli.run(main)
