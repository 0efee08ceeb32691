"""`python -m tap` is `tap`."""

from tap.cli import main

if __name__ == "__main__":
    main()
