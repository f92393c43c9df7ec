"""The stand-in as a program: `python -m tests.support.storage [INSTANT]`.

It prints the ports of queues, tables and clock, and serves until standard input ends. With an
instant, its time is simulated and begins there.
"""

import asyncio
import sys
from datetime import datetime

from tests.support.clock import SimulatedClock, utc_now
from tests.support.storage import running_stand_in
from tests.support.storage.http import Request, Response, serving


async def main(simulated_from: datetime | None) -> None:
    clock = SimulatedClock(simulated_from) if simulated_from else utc_now
    async with running_stand_in(clock) as stand_in:

        def jump(request: Request) -> Response:
            now = stand_in.jump_now(datetime.fromisoformat(request.query["until"]))
            return Response(status=200, headers={}, body=now.isoformat().encode())

        async with serving(jump) as port:
            print(*stand_in.ports, port, flush=True)  # noqa: T201 - for the parent process
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(datetime.fromisoformat(sys.argv[1]) if sys.argv[1:] else None))
