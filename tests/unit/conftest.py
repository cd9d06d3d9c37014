from __future__ import annotations

import pytest

from contract.storage import Storage
from contract.storage.local import LocalStorage


@pytest.fixture
def storage(local_storage: LocalStorage) -> Storage:
    """The real one alone: that its twin does the same is what the contract suite shows."""
    return local_storage
