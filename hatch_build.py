"""Adds the model that ships to the wheel.

An editable installation uses the repository's own. `WHEEL_WITHOUT_MODEL=1` leaves the model out, for the images, which
have it in a layer of its own.
"""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODEL = "minilm-l6-qa"


class ShippedModel(BuildHookInterface[Any]):
    """Adds `models/minilm-l6-qa` to the wheel as `worker/models/minilm-l6-qa`, where `contract.settings` finds it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds a wheel; `version` is "standard" or "editable"."""
        if version == "standard" and not os.environ.get("WHEEL_WITHOUT_MODEL"):
            build_data["force_include"][f"models/{MODEL}"] = f"worker/models/{MODEL}"
