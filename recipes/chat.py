"""The command `tfzoo chat`, for a clone.

python recipes/chat.py --help
"""

from tfzoo import cli
from tfzoo.commands.chat import main

if __name__ == "__main__":
    cli.run(main)
