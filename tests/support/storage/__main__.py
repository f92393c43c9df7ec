"""The stand-in as a program: `python -m tests.support.storage [INSTANT]`.

With an instant, its time is simulated from then on.
"""

import asyncio
import sys
from datetime import datetime

from tests.support.storage.elsewhere import serve

if __name__ == "__main__":
    asyncio.run(serve(datetime.fromisoformat(sys.argv[1]) if sys.argv[1:] else None))
