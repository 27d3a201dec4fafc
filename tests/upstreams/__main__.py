"""`python -m tests.upstreams [--port 9900]`: the upstream as a process, to point a gateway at."""

import argparse
import sys
import time

from tests.upstreams.server import Upstream


def main() -> None:
    """Serve until interrupted, with a line for every request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9900)
    with Upstream(parser.parse_args().port) as upstream:
        sys.stdout.write(f"listening on {upstream.url}\n")
        while True:
            time.sleep(0.2)
            while upstream.requests:
                request = upstream.requests.pop(0)
                sys.stdout.write(f"{request.method} {request.target} {len(request.body)} bytes\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
