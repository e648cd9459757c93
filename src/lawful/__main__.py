"""`python -m lawful` is the command `lawful`."""

from lawful.cli import main

if __name__ == "__main__":
    main()
