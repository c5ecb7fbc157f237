"""What a configuration holds that is not for others: secrets, and paths of a machine."""

from __future__ import annotations

import re
from pathlib import PureWindowsPath
from typing import Any

HIDDEN = "(hidden)"
_SECRET = re.compile(
    r"(^|_)(token|secret|passwo?r?d|credentials?|key|instance|crn|auth\w*)$", re.IGNORECASE
)
_PATH = re.compile(r"(^|_)(files?|dir|folder|path|vectors)$", re.IGNORECASE)


def hide(value: Any, name: str = "", instead: str | None = HIDDEN) -> Any:
    """Return plain values, with those whose name suggests a secret replaced."""
    if isinstance(value, dict):
        return {key: hide(one, str(key), instead) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [hide(one, name, instead) for one in value]
    return instead if value is not None and _SECRET.search(name) else value


def names_path(name: str) -> bool:
    """Return whether a key's name says that its value is a path."""
    return _PATH.search(name) is not None


def published(value: Any, name: str = "") -> Any:
    """Return plain values with null for secrets, and the names of files for their paths."""
    if isinstance(value, dict):
        return {key: published(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [published(one, name) for one in value]
    if isinstance(value, str):
        path = PureWindowsPath(value)  # which reads those of other systems, too
        if names_path(name) or (path.root and len(path.parts) > 2) or value.startswith("~"):
            value = path.name or value
    return hide(value, name, None)
