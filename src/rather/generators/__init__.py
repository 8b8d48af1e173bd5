"""Generators, one file for each kind: the net, how it is trained, and the frozen form that methods use."""
