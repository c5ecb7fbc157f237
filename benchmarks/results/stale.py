"""What a run was made with, and whether it would be made so today.

Stored with a run: its overrides, the default of every config key for its task and model, and a
digest of its data files. A key that did not exist then is not compared: a new key's default must
keep what was, as for checkpoints. Nor is what an older record does not have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module

from qrnn.config import register_schemas, to_plain

PARTS = ("task", "model", "trainer")
NO_MATTER = {"data_dir", "seed", "loggers", "progress"}  # a seed is among the overrides


def defaults_of(train: Sequence[str]) -> dict[str, Any]:
    """Return the config of a task and model, by part and key, without a row's own overrides.

    Args:
        train: overrides of `qrnn train`; only those that choose a group count (`task=mnist`).
    """
    return json.loads(_composed(tuple(one for one in train if _key(one).isidentifier())))


@lru_cache
def _composed(groups: tuple[str, ...]) -> str:
    register_schemas()
    with initialize_config_module("qrnn.configs", version_base="1.3"):
        config = to_plain(compose("train", list(groups)))
    return json.dumps(
        {part: {k: v for k, v in config[part].items() if k not in NO_MATTER} for part in PARTS}
    )


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


@lru_cache
def digest(folder: str) -> str | None:
    """Return a digest of the names and contents of a folder's files; None: there is no folder."""
    found = blake2b(digest_size=8)
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    for path in paths:
        name = path.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts):
            found.update(f"{name.as_posix()}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    found.update(block)
    return found.hexdigest() if paths else None


def change(then: Mapping[str, Any], train: Sequence[str], data: str | None = None) -> str:
    """Return what differs from how a run was made: `settings`, `defaults`, `data`; empty: nothing.

    Args:
        then: `train`, and as far as they are known, `defaults` and `data`.
        train: today's overrides.
        data: today's digest; None: not known.
    """
    if then["train"] != " ".join(train):
        return "settings"
    if "defaults" in then:
        now, own = defaults_of(train), {_key(one) for one in train}
        for part, keys in then["defaults"].items():
            for key, value in keys.items():
                if f"{part}.{key}" not in own and now[part].get(key, value) != value:
                    return "defaults"
    known = data is not None and "data" in then
    return "data" if (then["data"] != data if known else then.get("data_changed")) else ""
