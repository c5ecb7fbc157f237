"""Use a run's own `config.yaml` again: `qrnn train --config-dir runs/x --config-name config`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore

from qrnn.errors import DataError
from qrnn.utils.overrides import override
from qrnn.utils.registry import unknown_name
from qrnn.utils.safe_yaml import check_plain, read_yaml

GROUPS = ("task", "model", "device", "trainer")
STORED = "qrnn_run"  # the group in Hydra's store that holds the values


def with_run_config(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of `qrnn train` with which Hydra composes a run's configuration.

    The values of the file are stored where Hydra finds them. Overrides choose the run's task, model
    and device, and then its values. Where the arguments choose a group, the file's is not read.

    Args:
        arguments: what stands after `qrnn train`; returned unchanged unless they name a file
            without a defaults list.

    Raises:
        ConfigError: the file has other keys than a run's, or values that are not plain.
        DataError: the file is not YAML, or holds no keys.
    """
    parsed = get_args_parser().parse_args(arguments)
    if parsed.config_dir is None or parsed.config_name is None:
        return list(arguments)
    path = Path(parsed.config_dir) / f"{parsed.config_name.removesuffix('.yaml')}.yaml"
    if not path.is_file():
        return list(arguments)  # Hydra knows the name, or lists those that it knows
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise DataError(f"{path} must hold keys with their values, as a run's config.yaml does")
    if "defaults" in values:
        return list(arguments)
    chosen = {item.partition("=")[0] for item in parsed.overrides}
    names, kept = [], {}
    for key, value in values.items():
        if key not in (*GROUPS, "resume", "finetune"):
            raise unknown_name(f"key of {path}", key, GROUPS)
        if key == "resume" or key in chosen:  # what a resumed run began with is not there again
            continue
        check_plain(value, key)
        kept[key] = value
        if isinstance(value, dict) and "name" in value:
            names.append(override(key, value["name"]))
    ConfigStore.instance().store("values", kept, group=STORED, package="_global_")
    return [*arguments, *names, f"+{STORED}=values", "--config-name=train"]
