"""Score chunks of question answering jobs with a warm reader, and make the models that do it.

Nothing here calls home. onnxruntime has its maker's telemetry compiled in: it looks up a host of theirs, posts a device
id, the system and the process's name, and leaves files in HOME and TMPDIR. It reads the variable once, when it is first
imported, and a fork inherits it: so it is set before any module of this package is.
"""

from __future__ import annotations

import os

for _name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ[_name] = "1"
