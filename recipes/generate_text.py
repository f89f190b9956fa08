"""The command `tfzoo generate-text`, for a clone.

python recipes/generate_text.py --help
"""

from tfzoo import cli
from tfzoo.commands.generate_text import main

if __name__ == "__main__":
    cli.run(main)
