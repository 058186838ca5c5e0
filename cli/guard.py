"""Runs a program that must not outlive whoever started it.

`python -S -E guard.py SIGNAL PARENT PROGRAM ARGUMENT…` asks the kernel to send SIGNAL when the parent dies, however it
dies, and becomes the program (same process id). A file of its own, not a `preexec_fn`: code between fork and exec is
unsafe in a parent that has threads.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    signal_number, parent, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:  # the parent died before the request was made: nobody would ever send the signal
            sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606 (becoming the program is the point)


if __name__ == "__main__":
    main()
