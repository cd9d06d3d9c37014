"""The `producer` command, and what the Python API in `bulkqa` stands on: files in, predictions out."""

from __future__ import annotations

import os

# Arrow decides when it is first imported. Its own allocator takes up to a GiB at a time and hands that out itself: the
# limit on what reading may take (`producer.input.memory`) then bounds the taking, not the use. The system's asks the
# kernel for what is needed, and is no slower here. Worker processes are their own: they read chunks that we wrote.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
