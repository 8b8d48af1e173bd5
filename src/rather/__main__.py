"""`python -m rather` is `rather`."""

from rather.cli import main

main()
