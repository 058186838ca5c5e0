"""A watching process for tests that stop one: prints a line whenever it holds a lease, with what it has applied."""

import asyncio
import sys
from pathlib import Path

from services.chassis.channels import connect
from services.chassis.tls import Tls
from services.chassis.watching import Watch


async def main(address: str, tls_dir: str) -> None:
    watch = Watch(connect(address, "identity", Tls.from_dir(Path(tls_dir), "billing")), name="identity")
    running = asyncio.create_task(watch.run())
    while not running.done():
        if watch.live:
            print(watch.applied_seq, flush=True)
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
