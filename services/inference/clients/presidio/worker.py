"""The scanner's processes. One loads the model and is then only forked from; its children scan.

Forking after the load makes a new worker cost milliseconds instead of seconds, and lets all share the model's memory.
Started by `pool.py` with three arguments: the descriptor of the control socket, the parent's process id, the tier.
"""

import contextlib
import ctypes
import gc
import os
import resource
import signal
import socket
import sys
import time
from dataclasses import dataclass

import orjson
from presidio_anonymizer import AnonymizerEngine

from services.inference.clients.presidio import frames, operators, pdf
from services.inference.clients.presidio.analyzer import engine as presidio
from services.inference.clients.presidio.versions import Tier

_PR_SET_PDEATHSIG = 1
_MOST_MEMORY = 3 << 30
_SHARE_OF_A_DOCUMENT = 0.5  # of the time that is left: its text has to be scanned too
# Before the first fork, so that what is made at first use is made once: lists, and what runs ahead of a pattern.
_WARM_UP = """Patient: Ada Lovelace, DOB 12/10/1955, MRN 4827193, 94 y/o, seen in London at St. Mary's Hospital on May 3, 2024.
Dr. Grace Hopper, MD (NPI 1234567893, DEA AB1234563) called her daughter Anne at (555) 010-4477, fax 555-010-4478; SSN 536-22-8812.
Address: 12 Oak Street, Apt 4, Springfield, IL 62704. ada@mail.example.org, https://portal.example.org/p?id=7, 192.0.2.7, via Lyon.
Member ID: XK4471-220, account no. 88210-34, case #A-2231, serial SN 44-Z0192, licence D4471829, plate KLW 729, 2024-05-03, 3 March.
pt john smith admitted on 5/4, discharged 3.5.2024 to mercy clinic; wife mary; follow-up in 2 weeks. REFERRED BY JANE DOE, RN.
"""


@dataclass(frozen=True, slots=True)
class _Tools:
    analyzer: presidio.AnalyzerEngine
    anonymizer: AnonymizerEngine


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    _die_with_parent(int(sys.argv[2]))
    # Ctrl-C and a stop reach the whole group; the service still answers what it has begun, and we go when it goes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    engine = presidio.build(Tier(sys.argv[3]))
    presidio.detect(engine, _WARM_UP)
    tools = _Tools(engine, AnonymizerEngine())
    gc.collect()
    gc.freeze()
    control.sendall(frames.pack(frames.READY, b""))
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        own_id = os.getpid()
        child = os.fork()
        if child == 0:
            control.close()
            _die_with_parent(own_id)
            _serve(tools, socket.socket(fileno=descriptors[0]))
            os._exit(0)
        os.close(descriptors[0])
        control.sendall(frames.pack(frames.FORK, str(child).encode()))


def _serve(tools: _Tools, connection: socket.socket) -> None:
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    while (frame := frames.receive(connection)) is not None:
        kind, payload = frame
        try:
            answer = _answer(tools, kind, payload)
        except Exception as error:  # noqa: BLE001 - told to the service by its type alone: its text may hold PHI
            kind, answer = frames.FAILED, type(error).__name__.encode()
        connection.sendall(frames.pack(kind, answer))


def _answer(tools: _Tools, kind: int, payload: bytes) -> bytes:
    if kind == frames.PDF:
        (deadline,) = frames.DEADLINE.unpack_from(payload)
        seconds = (deadline - time.monotonic()) * _SHARE_OF_A_DOCUMENT
        return orjson.dumps(pdf.text_of(payload[frames.DEADLINE.size :], seconds))
    if kind == frames.ANONYMIZE:
        return operators.answer(tools.anonymizer, payload)
    found = (presidio.detect(tools.analyzer, block) for block in orjson.loads(payload))
    return orjson.dumps([[frames.to_wire(span) for span in spans] for spans in found])


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


if __name__ == "__main__":
    main()
