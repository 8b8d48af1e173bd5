"""The commands of the command line, and what they say in the terminal."""
