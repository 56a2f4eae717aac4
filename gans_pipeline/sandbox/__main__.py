"""``python -m gans_pipeline.sandbox``: the sandbox as a child process. People use ``gans sandbox``."""

import argparse
from datetime import datetime

from gans_pipeline.sandbox.server import end_with_parent, serve


def main() -> None:
    """Read the arguments and serve; a wrong one is one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m gans_pipeline.sandbox")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cities", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--now", type=datetime.fromisoformat)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--with-parent", action="store_true", help="end when standard input is closed")
    options = parser.parse_args()
    if options.with_parent:
        end_with_parent()
    try:
        serve(
            options.host,
            options.port,
            cities=options.cities,
            seed=options.seed,
            now=options.now,
            latency_ms=options.latency_ms,
            fault=options.fault,
        )
    except (OSError, ValueError) as error:
        parser.exit(1, f"sandbox: {error}\n")


if __name__ == "__main__":
    main()
