"""Models as Hugging Face's Hub keeps them: plain JSON and safetensors, without any code."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

import torch

from qrnn.errors import ConfigError, DataError, require_extra
from qrnn.utils.checks import shown
from qrnn.utils.files import write_text
from qrnn.utils.safe_yaml import check_plain, read_text
from qrnn.utils.weights import errors_about

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TAGS = ["quantum-machine-learning", "pennylane", "recurrent-neural-network"]
CARD = """---
{{ card_data }}
---

A quantum recurrent network of [qrnn](https://github.com/pennylane-qrnn/qrnn){{ about }}:

```python
import qrnn  # pip install {{ install | default("'pennylane-qrnn[hub]'", true) }}

{% if load -%}
model = qrnn.{{ load }}
{%- else -%}
model = qrnn.{{ kind }}.from_pretrained("{{ repo_id | default("this folder", true) }}")
{%- endif %}
```
{% if details %}
{{ details }}
{% endif %}"""


class Pretrained:
    """What can be saved to a folder or Hugging Face's Hub, and loaded from there.

    A folder has the configuration as plain JSON (`config.json`), the weights as safetensors and a
    model card. Loading checks both, and runs no code.
    """

    @abstractmethod
    def _saved(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return plain values that rebuild the model, and its weights by name.

        Raises:
            ConfigError: the model has a part that is not plain data.
        """

    @classmethod
    @abstractmethod
    def _rebuilt(
        cls, config: dict[str, Any], weights: dict[str, torch.Tensor], source: str
    ) -> Self:
        """Return the model of what `_saved` returned.

        Args:
            config: plain values, which may have been changed.
            weights: tensors, which may have been changed.
            source: where they come from, for messages.

        Raises:
            DataError: they are damaged, or do not fit each other.
        """

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Save the configuration, the weights and a model card to a folder.

        Args:
            save_directory: the folder, created if missing.
            **options: of `huggingface_hub.ModelHubMixin.save_pretrained`, such as
                `push_to_hub=True` with `repo_id`.

        Returns:
            The address of the commit with `push_to_hub=True`; else None.

        Raises:
            ConfigError: a part of the model is not plain data, such as a custom ansatz.
            MissingExtraError: huggingface_hub or safetensors is not installed.
        """
        self._saved()  # before anything is written
        card = {"kind": kind_of(type(self)), "repo_id": options.get("repo_id")}
        card |= options.pop("model_card_kwargs", None) or {}
        return _carrier()(self).save_pretrained(save_directory, model_card_kwargs=card, **options)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the configuration, the weights and a model card to the Hub.

        Log in first, with `hf auth login` or the environment's `HF_TOKEN`. The repository is
        created if it is missing, and is public unless `private=True`.

        Args:
            repo_id: name of the repository, such as `me/digits`.
            **options: of `huggingface_hub.ModelHubMixin.push_to_hub`.

        Returns:
            The address of the commit.

        Raises:
            ConfigError: a part of the model is not plain data, such as a custom ansatz.
            MissingExtraError: huggingface_hub or safetensors is not installed.
        """
        self._saved()
        card = {"kind": kind_of(type(self)), "repo_id": repo_id}
        card |= options.pop("model_card_kwargs", None) or {}
        return _carrier()(self).push_to_hub(repo_id, model_card_kwargs=card, **options)

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> Self:
        """Load what `save_pretrained` or `push_to_hub` saved.

        Args:
            name: a folder, or the name of a repository on the Hub.
            **options: of `huggingface_hub.hf_hub_download`, such as `revision`, `token` or
                `local_files_only`; for a repository.

        Raises:
            DataError: a file is missing, damaged or of another kind, or cannot be downloaded.
            ConfigError: its configuration does not fit this version.
            DeviceError: the device of the model is not installed.
            MissingExtraError: huggingface_hub or safetensors is not installed.
        """
        found, tensors = (_located(str(name), file, options) for file in (CONFIG, WEIGHTS))
        config, source = read_config(found), f"model {name}"
        with errors_about(source):
            check_plain(config, CONFIG)
            if not isinstance(config, dict) or config.get("library_name") != "qrnn":
                raise ConfigError(f"{CONFIG} must come from qrnn's save_pretrained")
            if (kind := config.get("kind")) != kind_of(cls):
                raise ConfigError(f"kind must be {kind_of(cls)}, got {kind!r:.60}")
            if not isinstance(held := config.get("model"), dict):
                raise ConfigError(f"model of {CONFIG} must hold values by name")
        return cls._rebuilt(held, read_weights(tensors), source)


def kind_of(cls: type[Pretrained]) -> str:
    """Return the name of the first class that defines what is saved."""
    return next(one.__name__ for one in cls.__mro__ if "_saved" in vars(one))


def read_config(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} must be JSON: save the model again") from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        DataError: the file is missing or damaged.
        MissingExtraError: safetensors is not installed.
    """
    save_or_load = _safetensors()
    if not path.is_file():
        raise DataError(f"{path} must be a file, but does not exist")
    try:
        return save_or_load.load_file(path)
    except Exception as error:  # SafetensorError, and others for damaged headers
        raise DataError(f"{path} must be a safetensors file: save the model again") from error


def _located(name: str, file: str, options: dict[str, Any]) -> Path:
    """Return the path of a file of a model, downloaded if `name` is no folder."""
    if Path(name).is_dir():
        if options:
            raise ConfigError(
                f"{', '.join(options)} must be left out for a folder, which is not downloaded"
            )
        return Path(name) / file
    hub = _hub()
    try:
        return Path(hub.hf_hub_download(name, file, **options))
    except (OSError, ValueError) as error:  # the bases of the hub's errors
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"model {name} must be a folder or on the Hub: {reason}") from error


def model_card(data: Mapping[str, Any], **parts: str) -> str:
    """Return a model card, as `save_pretrained` writes it.

    Args:
        data: further fields of its front matter, such as `license`.
        **parts: of the template: `about` ends its first sentence, `load` is what loads the model,
            `install` what to install for that, and `details` is the rest of the card.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
    """
    hub = _hub()
    front = hub.ModelCardData(library_name="qrnn", tags=TAGS, **data)
    return str(hub.ModelCard.from_template(front, template_str=CARD, **parts))


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise require_extra("huggingface_hub", "hub", "save_pretrained") from error
    return huggingface_hub


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise require_extra("safetensors", "hub", "save_pretrained") from error
    return safetensors.torch


@cache
def _carrier() -> Any:
    """Return the hub's mixin around a model: the mixin must be imported to be a base class."""
    _hub()  # raises an error if it is not installed
    saving = _safetensors()
    from huggingface_hub import ModelHubMixin

    class Carrier(
        ModelHubMixin,
        library_name="qrnn",
        tags=TAGS,
        repo_url="https://github.com/pennylane-qrnn/qrnn",
        paper_url="https://arxiv.org/abs/2510.25557",
        model_card_template=CARD,
    ):
        _hub_mixin_config: Any = {}  # noqa: RUF012  # ours is written below

        def __init__(self, model: Pretrained):
            self.model = model

        def _save_pretrained(self, save_directory: Path) -> None:
            held, weights = self.model._saved()
            config = {"library_name": "qrnn", "kind": kind_of(type(self.model)), "model": held}
            text = json.dumps(config, indent=1, sort_keys=True)
            write_text(save_directory / CONFIG, text + "\n")
            tensors = {  # none may share memory with another
                name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
                for name, value in weights.items()
            }
            saving.save_file(tensors, save_directory / WEIGHTS, {"format": "pt"})

    return Carrier


def as_plain(name: str, value: Any) -> Any:
    """Return an argument as it is in JSON: numbers, texts and lists.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(value, list | tuple):
        return [as_plain(name, one) for one in value]
    if isinstance(value, dict):
        return {key: as_plain(name, one) for key, one in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # of numpy or torch
        return value.item()
    raise ConfigError(
        f"{name} must be a name or numbers to be saved, got {shown(value)}: save the state_dict"
    )
