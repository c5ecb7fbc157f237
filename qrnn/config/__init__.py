"""The configuration: groups `task`, `model`, `device` and `trainer`, each with a dataclass.

Nothing here imports torch or PennyLane, so that help and errors do not wait for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qrnn.config import tables as tables  # registers its tasks
from qrnn.config.commands import COMMAND_SCHEMAS as COMMAND_SCHEMAS
from qrnn.config.commands import DrawConfig as DrawConfig
from qrnn.config.commands import EstimateConfig as EstimateConfig
from qrnn.config.commands import EvaluateConfig as EvaluateConfig
from qrnn.config.commands import ExportConfig as ExportConfig
from qrnn.config.commands import InspectConfig as InspectConfig
from qrnn.config.commands import PredictConfig as PredictConfig
from qrnn.config.commands import ReportConfig as ReportConfig
from qrnn.config.commands import TrainConfig as TrainConfig
from qrnn.config.commands import TrainerConfig as TrainerConfig

if TYPE_CHECKING:
    from qrnn.config.convert import MOST_WHOLE as MOST_WHOLE
    from qrnn.config.convert import from_plain as from_plain
    from qrnn.config.convert import to_plain as to_plain
    from qrnn.config.convert import to_typed as to_typed
    from qrnn.config.store import compose as compose
    from qrnn.config.store import register_schemas as register_schemas

_WHERE = {
    "qrnn.config.convert": ("MOST_WHOLE", "from_plain", "to_plain", "to_typed"),
    "qrnn.config.store": ("compose", "register_schemas"),
}


def __getattr__(name: str) -> Any:
    """Import what needs OmegaConf and Hydra on first use: a cell alone does without them."""
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'qrnn.config' has no attribute {name!r}")
