"""`python -m audiencesync`."""

from audiencesync.cli import main

if __name__ == "__main__":
    main()
