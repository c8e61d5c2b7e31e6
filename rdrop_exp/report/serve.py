"""The page on localhost while a sweep runs: it asks for new data every few seconds and redraws itself."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.comparison import Report
from rdrop_exp.report.page import as_json, build_page, payload

PORT = 8317
SECONDS = 5.0


class Live:
    """A report that is read again on request once older than `seconds` and four times its reading time."""

    def __init__(self, read: Callable[[], Report], seconds: float = SECONDS) -> None:
        self._read, self._seconds = read, seconds
        self._lock = threading.Lock()
        self._until, self._shown = 0.0, ""
        self._report = Report(trials=[], comparisons=[], notes=[])
        self._data = ""

    def data(self) -> str:
        """The page's data as JSON: the same text until something in it changes."""
        with self._lock:
            begun = time.monotonic()
            if begun >= self._until:
                try:
                    self._report = self._read()
                except (OptionError, OSError) as error:  # no trial yet: the sweep has not begun
                    self._report = Report(trials=[], comparisons=[], notes=[str(error)])
                content = payload(self._report)
                shown = repr({name: value for name, value in content.items() if name != "created"})
                if shown != self._shown:
                    self._shown, self._data = shown, as_json(content)
                ended = time.monotonic()
                self._until = ended + max(self._seconds, 4 * (ended - begun))
            return self._data

    def html(self) -> str:
        data = self.data()
        return build_page(self._report, watch=self._seconds, data=data)


class _Handler(BaseHTTPRequestHandler):
    """Serves the page at / and its data at /data.json, to this machine only."""

    live: Live

    def do_GET(self) -> None:
        name = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        routes = {"/": (self.live.html, "text/html"), "/data.json": (self.live.data, "application/json")}
        route = routes.get(self.path.partition("?")[0])
        # Another site could let its name point to this machine (DNS rebinding): only local names are answered.
        if name not in ("127.0.0.1", "localhost", "[::1]"):
            self.send_error(403)
        elif route is None:
            self.send_error(404)
        else:
            make, kind = route
            body = make().encode()
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the browser closed the connection
            self.close_connection = True


def make_server(read: Callable[[], Report], port: int = PORT, seconds: float = SECONDS) -> ThreadingHTTPServer:
    """A server on 127.0.0.1 (port 0: any free one), not yet serving; `OptionError` where the port is taken."""
    handler = type("Handler", (_Handler,), {"live": Live(read, seconds)})
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise OptionError(f"--port={port} cannot be used ({error}); --port=0 picks a free one") from error


def serve(read: Callable[[], Report], port: int = PORT) -> None:
    """Serve until Ctrl-C."""
    with make_server(read, port) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        print(f"Serving the report at {address}; it updates while the sweep runs. Press Ctrl-C to stop.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
