"""`python -m idmap`: the same as the command `idmap`."""

from idmap.entrypoints.cli.main import main

if __name__ == "__main__":
    main()
