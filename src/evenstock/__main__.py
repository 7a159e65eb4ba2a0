"""`python -m evenstock`, the same as `evenstock`."""

from evenstock.cli import main

if __name__ == "__main__":
    main()
