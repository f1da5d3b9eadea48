"""`python -m yingbi` is the command line."""

from yingbi.cli import main

main()
