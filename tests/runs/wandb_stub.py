"""A W&B server on loopback: as much of its API as one run needs (run upsert, file stream, files), kept in memory."""

import json
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

KEY = "0123456789abcdef0123456789abcdef01234567"
"""What W&B takes for an API key: 40 hex digits."""


class Outage(StrEnum):
    """What goes wrong with the server."""

    NONE = "none"
    AT_START = "every request is answered with status 500"
    ERRORS = "the same, once a run has started"
    DEATH = "no request is answered, once a run has started"


@dataclass
class StubRun:
    """What the server knows of one run."""

    upserted: dict[str, Any] = field(default_factory=dict)
    """The latest value of each field of the run that was not null: `groupName`, `jobType`, `tags`, …"""
    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Line of the history → the row at it."""
    summary: dict[str, Any] = field(default_factory=dict)
    starts: int = 0
    """How many processes asked whether the run exists."""
    exit_codes: list[int] = field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        stored = json.loads(self.upserted["config"])
        return {name: entry["value"] for name, entry in stored.items() if name != "_wandb"}

    @property
    def steps(self) -> list[int]:
        """The step of each row, in the order of the history."""
        return [self.history[line]["_step"] for line in sorted(self.history)]


class WandbStub:
    """The server, in a thread; a context manager."""

    def __init__(self, outage: Outage = Outage.NONE) -> None:
        self.runs: dict[str, StubRun] = {}
        self.unknown: list[str] = []
        """Requests that the stub does not know."""
        self.outage = outage
        self.refused = 0
        """Requests that fell into the outage."""
        stub = self

        class Handler(_Handler):
            server_state = stub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def environment(self) -> dict[str, str]:
        """What a process needs to log to this server."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def graphql(self, operation: str, values: dict[str, Any]) -> dict[str, Any]:
        """The `data` of an answer."""
        if operation == "Viewer":
            viewer = {"id": "1", "entity": "me", "username": "me", "email": "me@localhost", "flags": "{}"}
            return {"viewer": viewer | {"teams": {"edges": []}}}
        if operation == "RunResumeStatus":
            return {"model": _project(values["project"]) | {"bucket": self._resume_status(values["name"])}}
        if operation == "UpsertBucket":
            return {"upsertBucket": self._upsert(values)}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in values["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        if operation == "OrganizationCoreWeaveOrganizationID":
            return {"entity": None}
        self.unknown.append(operation)
        return {}

    def _resume_status(self, name: str) -> dict[str, Any] | None:
        run = self.runs.get(name)
        if run is None:
            return None
        run.starts += 1
        tail = [json.dumps(run.history[max(run.history)])] if run.history else []
        return {
            "id": f"id-{name}",
            "name": name,
            "displayName": run.upserted.get("displayName"),
            "summaryMetrics": json.dumps(run.summary),
            "config": run.upserted.get("config", "{}"),
            "tags": run.upserted.get("tags") or [],
            "notes": None,
            "logLineCount": 0,
            "eventsLineCount": 0,
            "historyLineCount": len(run.history),
            "historyTail": json.dumps(tail),
            "eventsTail": "[]",
            "wandbConfig": '{"t": {}}',
        }

    def _upsert(self, values: dict[str, Any]) -> dict[str, Any]:
        inserted = values["name"] not in self.runs
        run = self.runs.setdefault(values["name"], StubRun())
        run.starts += inserted
        run.upserted |= {key: value for key, value in values.items() if value is not None}
        bucket = {
            "id": f"id-{values['name']}",
            "name": values["name"],
            "displayName": run.upserted.get("displayName"),
            "description": None,
            "config": run.upserted.get("config"),
            "sweepName": None,
            "project": _project(run.upserted["project"]),
            "historyLineCount": len(run.history),
        }
        return {"bucket": bucket, "inserted": inserted}

    def file_stream(self, name: str, body: dict[str, Any]) -> None:
        """Rows of the history and the summary, at the lines that the client says."""
        run = self.runs[name]
        for file, chunk in body.get("files", {}).items():
            lines = (
                [json.loads(line) for line in chunk["content"]]
                if file.endswith(("history.jsonl", "summary.json"))
                else []
            )
            if file == "wandb-history.jsonl":
                run.history |= dict(enumerate(lines, start=chunk["offset"]))
            elif lines:
                run.summary = lines[-1]
        if body.get("complete"):
            run.exit_codes.append(body["exitcode"])


def _project(name: str) -> dict[str, Any]:
    return {"id": "1", "name": name, "entity": {"id": "1", "name": "me"}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that is killed cuts its connections: nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: WandbStub

    def answer(self) -> None:
        stub = self.server_state
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        streams = self.path.endswith("/file_stream")  # W&B's first comes as soon as a run has started
        down = stub.outage is Outage.AT_START or (stub.outage is not Outage.NONE and (streams or stub.refused > 0))
        stub.refused += down
        if down and stub.outage is Outage.DEATH:
            self.close_connection = True
            return
        answer: dict[str, Any] = {}
        if not down and self.path == "/graphql":
            request = json.loads(body)
            answer = {"data": stub.graphql(request["operationName"], request.get("variables") or {})}
        elif not down and streams:
            stub.file_stream(self.path.split("/")[-2], json.loads(body))
        elif not down and not self.path.startswith(("/upload/", "/sdk/otel/")):
            stub.unknown.append(self.path)
        text = json.dumps(answer).encode()
        self.send_response(500 if down else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, format: str, *values: Any) -> None:
        """Say nothing."""
