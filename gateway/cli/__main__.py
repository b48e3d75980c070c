"""`python -m gateway.cli`: the same command where no script is installed."""

from gateway.cli import main

main()
