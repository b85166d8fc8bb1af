"""`python -m porter` is `diffsynth-port`."""

from porter.cli import main

if __name__ == "__main__":
    main()
