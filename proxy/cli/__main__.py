"""`python -m proxy.cli` is `farebox`."""

from proxy.cli import main

main()
