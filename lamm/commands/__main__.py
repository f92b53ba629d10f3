"""`python -m lamm.commands`: the same as `lamm`."""

from lamm.commands import main

main()
