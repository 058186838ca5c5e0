"""The command's own calls to the edge: plain HTTP on the loopback interface."""

import http.client
import json
from dataclasses import dataclass
from typing import Any

_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def data(self) -> Any:
        """What a native success carries."""
        return json.loads(self.text)["data"]


@dataclass(frozen=True)
class Edge:
    """The edge of a suite on this machine, asked with one key. Raises OSError where it is not reached."""

    port: int
    api_key: str | None = None

    def get(self, path: str, *, timeout: float = _SECONDS) -> Answer:
        return self._ask("GET", path, None, timeout)

    def post(self, path: str, body: object) -> Answer:
        return self._ask("POST", path, json.dumps(body), _SECONDS)

    def _ask(self, method: str, path: str, body: str | None, timeout: float) -> Answer:
        headers = {"content-type": "application/json"}
        if self.api_key is not None:
            headers["authorization"] = f"Bearer {self.api_key}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode())
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
