"""Running the sandbox: in this process until it is ended, or in a child process for as long as it is needed."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    cities: int = 30,
    seed: int = 0,
    now: datetime | None = None,
    latency_ms: float = 0,
    fault: Sequence[str] = (),
) -> None:
    """Serve the sandbox until SIGINT or SIGTERM, and print its address once it can be asked; port 0 is any free one.

    ``OSError`` if the port is taken, ``ValueError`` if there are not so many cities or there is no such fault.
    """
    import uvicorn

    from gans_pipeline.sandbox.app import create_app

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        app = create_app(cities=cities, seed=seed, now=now, latency_ms=latency_ms, fault=fault)
        listener.listen(2048)  # from here on a connection waits instead of being refused
        shown = f"[{host}]" if ":" in host else host
        print(f"sandbox on http://{shown}:{listener.getsockname()[1]}", flush=True)  # noqa: T201
        # The providers' own Server headers are part of their contract.
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=1,  # an answer that hangs, as a fault, would keep the server from ending
        )
        server = uvicorn.Server(config)

        def hang_up(client: tuple[str, int]) -> None:
            for connection in server.server_state.connections:
                if connection.transport.get_extra_info("peername")[:2] == client:
                    connection.transport.close()

        app.state.hang_up = hang_up
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


@contextlib.contextmanager
def running(
    *,
    cities: int = 30,
    seed: int = 0,
    now: datetime | None = None,
    latency_ms: float = 0,
    fault: Sequence[str] = (),
    port: int = 0,
) -> Iterator[str]:
    """Run the sandbox in a child process and yield its base URL; ``RuntimeError`` if it does not start.

    It ends with the ``with`` block, and with this process however that ends.
    """
    command = [sys.executable, "-m", "gans_pipeline.sandbox", "--with-parent", "--port", str(port)]
    command += ["--cities", str(cities), "--seed", str(seed), "--latency-ms", str(latency_ms)]
    if now is not None:
        command += ["--now", now.isoformat()]
    for planned in fault:
        command += ["--fault", planned]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603
        try:
            assert child.stdout is not None  # noqa: S101
            address = re.search(r"http://\S+", child.stdout.readline())
            if address is None:
                raise RuntimeError(f"the sandbox did not start; exit status {child.wait()}, its reason is above")
            yield address.group()
        finally:
            child.terminate()


def end_with_parent() -> None:
    """End this process when its parent ends: the parent holds the other end of our standard input."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(0)  # the main thread may be anywhere; there is nothing to save

    threading.Thread(target=wait, daemon=True).start()
