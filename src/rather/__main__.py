"""`python -m rather` is `rather`."""

from rather.commands.cli import main

main()
