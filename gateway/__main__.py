"""Runs the edge: renders its configuration, starts Envoy, and drains it on SIGTERM.

Envoy by itself answers SIGTERM by dropping every connection.
"""

import sys
import tempfile
from pathlib import Path

from gateway.arguments import envoy_binary, parser, settings_of
from gateway.render import render
from gateway.supervision import supervise


def main() -> int:
    built = parser("python -m gateway", "Runs the edge until SIGTERM, then lets running requests finish.")
    built.add_argument("--grace", type=float, default=30, help="seconds that running requests get after SIGTERM")
    built.add_argument("--concurrency", type=int, default=2, help="worker threads")
    chosen = built.parse_args()
    try:
        settings = settings_of(chosen)
        text = render(settings)
    except ValueError as refusal:
        built.error(str(refusal))
    with tempfile.TemporaryDirectory(prefix="hasp-edge-") as folder:
        config = Path(folder) / "envoy.yaml"
        config.write_text(text, encoding="utf-8")
        command = [envoy_binary(), "-c", str(config), "--disable-hot-restart", "--file-flush-interval-msec", "200"]
        # Draining: every answer says `connection: close` (GOAWAY on HTTP/2) from the first moment on.
        command += ["--drain-strategy", "immediate", "--drain-time-s", str(max(1, int(chosen.grace)))]
        command += ["--log-level", "warning", "--concurrency", str(chosen.concurrency)]
        return supervise(command, settings.admin, chosen.grace)


if __name__ == "__main__":
    sys.exit(main())
