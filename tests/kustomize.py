"""As much of kustomize as our overlays use: resources, components, strategic merge patches, images, a namespace.

https://kubectl.docs.kubernetes.io/references/kustomize/ has the rules.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

#: By what the items of a list are told apart when it is merged; other lists are replaced.
_KEYS = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath", "ports": "containerPort"}


def rendered(folder: Path) -> list[dict[str, Any]]:
    """The manifests that `kubectl kustomize` would print for an overlay."""
    documents: list[dict[str, Any]] = []
    _apply(folder, documents)
    return documents


def _apply(folder: Path, documents: list[dict[str, Any]]) -> None:
    about = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    assert set(about) <= {"apiVersion", "kind", "namespace", "resources", "components", "images", "patches"}, set(about)
    for name in about.get("resources", []):
        path = folder / name
        documents += rendered(path) if path.is_dir() else [*yaml.safe_load_all(path.read_text("utf-8"))]
    for name in about.get("components", []):
        _apply(folder / name, documents)
    for each in about.get("patches", []):
        patch = yaml.safe_load(each["patch"])
        (target,) = [one for one in documents if _name(one) == _name(patch)]
        if patch.pop("$patch", "") == "delete":
            documents.remove(target)
        else:
            _merge(target, patch)
    for image in about.get("images", []):
        for container in (c for one in documents for c in _containers(one) if c["image"] == image["name"]):
            container["image"] = f"{image['newName']}:{image['newTag']}"
    for one in documents if "namespace" in about else []:
        one["metadata"]["namespace"] = about["namespace"]


def _name(document: dict[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def _containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return found


def _merge(into: dict[str, Any], patch: dict[str, Any]) -> None:
    for name, value in patch.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        elif name in _KEYS and isinstance(into.get(name), list):
            for item in value:
                same = [one for one in into[name] if one[_KEYS[name]] == item[_KEYS[name]]]
                if item.get("$patch") == "delete":
                    into[name].remove(*same)
                elif same:
                    _merge(same[0], item)
                else:
                    into[name].append(item)
        else:
            into[name] = value
