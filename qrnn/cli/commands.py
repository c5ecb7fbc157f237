"""The commands, one function each; a command imports what it needs only when called.

What imports torch is imported after the checks of the configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from qrnn.utils.program import command, shown_path


def train(config) -> float | None:
    """Train a model and print where its checkpoint is.

    Returns:
        The validation metric of the best checkpoint, for Hydra's sweepers.
    """
    from hydra.core.hydra_config import HydraConfig

    from qrnn.cli import sweeps
    from qrnn.cli.errors import fail
    from qrnn.config import TrainConfig, to_typed
    from qrnn.config.device_table import device_spec
    from qrnn.evaluation.metrics import METRICS, shown
    from qrnn.training.run import fine_tuned, resumed
    from qrnn.training.trainer import train as run
    from qrnn.utils.overrides import argument, device_arguments

    hydra = HydraConfig.get()
    typed: TrainConfig = to_typed(config)
    if config.resume is not None:  # an error if --config-name named something else
        typed = resumed(typed, list(hydra.overrides.task))
    elif config.finetune is not None:
        typed = fine_tuned(typed, list(hydra.overrides.task))
    result = run(typed, hydra.runtime.output_dir, data=sweeps.task_data(typed))
    if not result.first_process:  # only the first process prints
        return None
    best, resume = shown_path(result.best), argument("resume", shown_path(result.last))
    if result.interrupted:
        print(f"interrupted in epoch {result.epochs + 1}; resume with:")
        print(f"  {command('train', resume)}")
        sys.exit(130)
    epochs = "1 epoch" if result.epochs == 1 else f"{result.epochs} epochs"
    (name, better), value = METRICS[result.metric], shown(result.metric, result.value)
    print(f"{epochs}; best checkpoint: epoch {result.best_epoch}, validation {name} {value}")
    print(f"  checkpoint  {best}")
    if result.cost is not None:
        print(f"  cost        {result.cost}")
    if result.stopped is not None:
        print(f"  stopped     {result.stopped}")
    for baseline, one in result.baselines.items():
        title = f"{baseline}, {one.parameters:,} weights (the model has {result.parameters:,})"
        if one.interrupted:
            print(f"interrupted in the baseline {baseline}; resume with:")
            print(f"  {command('train', resume)}")
            sys.exit(130)
        if one.failure is not None:
            print(f"qrnn: baseline {baseline}: {one.failure}", file=sys.stderr)
        print(f"  baseline    {title}: validation {name} {shown(one.metric, one.value)}")
    if result.failure is not None:
        failure = f"{result.failure}; the checkpoints were saved"
        if sweeps.alone():
            fail(failure, status=1)
        print(f"qrnn: {failure}", file=sys.stderr)  # a trial of many; the sweeper goes on
    else:
        checkpoint = argument("checkpoint", best)
        following, device = "evaluate", f"device={result.reference}"
        if result.cost is not None:  # where it was trained
            following = "estimate" if device_spec(typed.device.name).account else "evaluate"
            device = device_arguments(typed.device)
        print(f"  next        {command(following, checkpoint, device)}")
    return sweeps.to_improve(result.value, better)


def _typed(config, example: str):
    """Return the typed configuration of a command that takes a checkpoint.

    Args:
        config: the configuration composed by Hydra.
        example: an example of the command, for the message.

    Raises:
        ConfigError: the checkpoint is missing, or the split is unknown.
    """
    from omegaconf import OmegaConf

    from qrnn.config import to_typed
    from qrnn.config.commands import SPLITS
    from qrnn.errors import ConfigError
    from qrnn.utils.registry import unknown_name

    if OmegaConf.is_missing(config, "checkpoint"):
        raise ConfigError(f"checkpoint must name a file: {command(example)}")
    typed = to_typed(config)
    if typed.split not in SPLITS:
        raise unknown_name("split", typed.split, SPLITS)
    return typed


def _ready(config, example: str):
    """Return the configuration of a command that runs a checkpoint, checked without torch.

    Raises:
        ConfigError: see `_typed`; `limit` or `batch_size` is below 1, or the device would ignore an
            option.
        DataError: there is no such checkpoint.
        DeviceError: the device is not installed.
    """
    from qrnn.config.device_table import device_spec
    from qrnn.utils.checkpoints import checkpoint_file

    typed = _typed(config, example)
    device = getattr(typed, "device", None)
    if device is not None and device.name:
        device_spec(device.name).check(device)
    _check_sizes(typed)
    checkpoint_file(typed.checkpoint)
    return typed


def _model_and_part(typed):
    """Return a checkpoint's model, its task's data, and the sequences to run the model on.

    Raises:
        ConfigError: `data_dir` does not fit the task.
        DataError: the file is not a checkpoint.
    """
    from qrnn.training.checkpoint import load_data, load_model

    model, trained = load_model(typed.checkpoint)
    data = load_data(trained, typed.data_dir)
    return model, data, getattr(data, typed.split).head(typed.limit)


def _check_sizes(typed) -> None:
    from qrnn.errors import ConfigError

    for key in ("limit", "batch_size"):
        if (given := getattr(typed, key, None)) is not None and given < 1:
            raise ConfigError(f"{key} must be at least 1, got {given}")


def evaluate(config) -> None:
    """Evaluate a checkpoint on a device; print the results and save them next to it."""
    from rich.console import Console

    from qrnn.config import EvaluateConfig

    typed: EvaluateConfig = _ready(config, "evaluate checkpoint=FILE device=NAME")

    from qrnn.devices import open_device
    from qrnn.evaluation.evaluation import evaluate as run
    from qrnn.evaluation.evaluation import table
    from qrnn.evaluation.files import save
    from qrnn.evaluation.metrics import judge
    from qrnn.evaluation.trained import save_predictions
    from qrnn.utils.checkpoints import results_folder

    device = open_device(typed.device)  # checks the rest before anything is loaded
    model, data, part = _model_and_part(typed)
    folder = results_folder(typed.checkpoint)
    result = run(
        model,
        part,
        device,
        judge=judge(data, typed.split, typed.limit),
        feedback=typed.feedback,
        readout_mode=typed.readout_mode,
        readout_angle=typed.readout_angle,
        batch_size=typed.batch_size,
        folder=folder,
        training=data.train,
    )
    Console().print(table([result]))  # first, as the folder may be full
    if data.missed_season:
        print(data.missed_season)
    if result.cost is not None:
        print(result.cost)
    if result.truncation is not None:
        print(
            f"replaying the last {device.options.replay} steps alone: RMS z {result.truncation:.3f}"
        )
    if result.signature is not None:
        print(result.signature)
    path = save(result, folder)
    print(f"saved to {shown_path(path)}")
    if (predictions := save_predictions(result, data, part, folder)) is not None:
        print(f"predictions saved to {shown_path(predictions)}")
    if model.translates:
        from qrnn.reporting.plots import attention

        path = attention(model, data, part, folder)
        print(f"attention weights saved to {shown_path(path)}")


def predict(config) -> None:
    """Predict new rows of a table; write them as CSV."""
    from omegaconf import OmegaConf

    from qrnn.config import PredictConfig, to_typed
    from qrnn.errors import ConfigError
    from qrnn.utils.checkpoints import checkpoint_file
    from qrnn.utils.files import check_output, write_text

    for key in ("checkpoint", "input"):
        if OmegaConf.is_missing(config, key):
            example = command("predict", "checkpoint=FILE", "input=new.csv")
            raise ConfigError(f"{key} must name a file: {example}")
    typed: PredictConfig = to_typed(config)
    checkpoint_file(typed.checkpoint)
    check_output("output", typed.output, typed.checkpoint, typed.input)
    check_output("plot", typed.plot, typed.checkpoint, typed.input)
    if typed.output is not None and typed.plot == typed.output:
        raise ConfigError(f"plot and output must be two files, got {typed.plot} for both")

    from qrnn.evaluation.rows import rows_of
    from qrnn.evaluation.trained import load

    model = load(typed.checkpoint)
    if typed.plot is not None:
        from qrnn.reporting.forecast_plot import check_plot, plot

        check_plot(model, typed.plot)
    rows = rows_of(typed.input, model.config)
    found = model.predict(
        rows,
        typed.device,
        every=typed.every,
        steps=typed.steps,
        recursive=typed.recursive,
        batch_size=typed.batch_size,
        progress=True,
    )
    text = found.to_csv(index=False, lineterminator="\n")
    if typed.output is None:
        print(text, end="")
    else:
        write_text(Path(typed.output), text)
        print(f"{len(found)} predictions saved to {shown_path(typed.output)}")
    if typed.plot is not None:
        plot(model, rows, found, Path(typed.plot))
        print(f"picture saved to {shown_path(typed.plot)}")


def inspect(config) -> None:
    """Save numbers and figures of what a hybrid cell does along some sequences."""
    from qrnn.config import InspectConfig
    from qrnn.errors import ConfigError

    typed: InspectConfig = _ready(config, "inspect checkpoint=FILE index=12")

    from qrnn.inspection import draw
    from qrnn.inspection import inspect as run
    from qrnn.inspection.figures import check_formats, folder_name
    from qrnn.inspection.summary import summary
    from qrnn.utils.checkpoints import results_folder

    check_formats(typed.formats)  # before anything is loaded
    if not typed.device.name and (given := typed.device.given()):
        named = ", ".join(f"device.{name}" for name in given)
        raise ConfigError(f"device must be named with its options, got only {named}: device=NAME")
    found = run(
        typed.checkpoint,
        typed.index,
        split=typed.split,
        cell=typed.cell,
        device=typed.device if typed.device.name else None,
        gradient=typed.gradient,
        states=typed.states,
        data_dir=typed.data_dir,
        progress=True,
    )
    inspections = results_folder(typed.checkpoint) / "inspection"
    folder = Path(typed.folder or inspections / folder_name(found))
    found.save(folder / "inspection.npz")
    draw(found, folder, formats=typed.formats, progress=True)
    for line in summary(found):
        print(line)
    print(f"saved to {shown_path(folder)}: inspection.npz and the figures")


def export(config) -> None:
    """Export the circuit that a checkpoint runs on one sequence."""
    from qrnn.config import ExportConfig

    typed: ExportConfig = _ready(config, "export checkpoint=FILE index=0 step=all")

    from qrnn.cli.export import run

    print(run(typed))


def report(config) -> None:
    """Write a report of a run, or a comparison of several."""
    from omegaconf import OmegaConf

    from qrnn.config import ReportConfig, to_typed
    from qrnn.errors import ConfigError

    if OmegaConf.is_missing(config, "run"):
        example = command("report", "run=runs/digits/<time>")
        raise ConfigError(f"run must name a run's folder: {example}")
    typed: ReportConfig = to_typed(config)

    from qrnn.reporting import report as write

    page = write(typed.run, typed.output, data_dir=typed.data_dir, progress=True)
    print(f"saved to {shown_path(page)}: open it in a browser")


def estimate(config) -> None:
    """Print the cost of evaluating a checkpoint, or of predicting new rows."""
    from qrnn.config import EstimateConfig

    typed: EstimateConfig = _typed(config, "estimate checkpoint=FILE device=ibm_fez")
    _check_sizes(typed)

    from qrnn.cli.estimate import run

    run(typed)


def draw(config) -> None:
    """Print the circuit of one time step and its resources."""
    from qrnn.config import DrawConfig, to_typed
    from qrnn.config.models import HybridConfig
    from qrnn.errors import ConfigError

    typed: DrawConfig = to_typed(config)
    if not isinstance(typed.model, HybridConfig):
        raise ConfigError(f"model must be hybrid to be drawn, got {typed.model.name}")

    from qrnn.cell.cell import QRNNCell
    from qrnn.utils.limits import limit_allocations, size_remedy

    with limit_allocations("the model", size_remedy(typed.model)):
        cell = QRNNCell(1, device=typed.device, **typed.model.cell_options())
    print(cell.draw())
    print()
    for name, value in cell.specs().items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if name == "gate_types" else value
        print(f"{name.replace('_', ' '):<16} {shown}")


def completion(names: Iterable[str]) -> None:
    """Print a shell script that completes commands, keys and values.

    Args:
        names: the names of all commands.
    """
    from argparse import RawDescriptionHelpFormatter

    from qrnn.cli.errors import Parser

    parser = Parser(
        prog=command("completion"),
        description="Print a script for TAB completion of qrnn's commands, keys and values.",
        epilog="""\
For all new shells, save the script once:
  qrnn completion bash > ~/.qrnn.bash
and load it in bash or in zsh:
  echo '. ~/.qrnn.bash' >> ~/.bashrc
  echo 'autoload -Uz bashcompinit; bashcompinit; . ~/.qrnn.bash' >> ~/.zshrc
For the current bash only: . <(qrnn completion bash)""",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", help="bash")
    shell = parser.parse_args().shell

    from qrnn.cli.completion import script

    print(script(shell, names), end="")
