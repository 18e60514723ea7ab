"""``python -m streamsparse`` and the command ``streamsparse``."""

from streamsparse.cli.main import cli


def main() -> None:
    """Run the command line; exits with its status."""
    cli.main(prog_name="streamsparse")


if __name__ == "__main__":
    main()
