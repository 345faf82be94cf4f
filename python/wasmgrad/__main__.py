"""`python -m wasmgrad` is the `wasmgrad` command."""

from ._cli.app import main

if __name__ == "__main__":
    main()
