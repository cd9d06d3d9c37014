"""What is claimed, measured: `python -m benchmarks.NAME`. README.md has the tables with their conditions."""

import worker  # noqa: F401 - switches onnxruntime's telemetry off before any benchmark imports it
