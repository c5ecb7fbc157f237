"""`qrnn.train` with the arguments of the command line."""

import pytest

import qrnn
from helpers.commands import qrnn as command
from helpers.tables import TINY
from qrnn.errors import ConfigError


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("task=digit", "task 'digit' is not known: did you mean digits?"),
        ("model.n_qubit=3", "key 'model.n_qubit' is not known: did you mean n_qubits?"),
        ("trainer.epochs=x", "trainer.epochs: Value 'x' of type 'str' could not be converted"),
        ("device=fake_tornio", "device 'fake_tornio' is not known"),
        ("epochs", "got 'epochs': write epochs=VALUE"),
        ("task=null", "a group must be given by name"),
    ],
)
def test_wrong_arguments_are_the_command_lines_message(argument, message, tmp_path):
    with pytest.raises(ConfigError) as told:
        qrnn.train([argument], tmp_path / "run")
    assert message in str(told.value)
    done = command("train", argument, cwd=tmp_path)
    assert done.stderr == f"qrnn: {told.value}\n"


def test_a_run_is_resumed_with_its_own_configuration(tmp_path):
    line = [*TINY, "task=forecast", "task.window=4", "trainer.schedule=constant"]
    first = qrnn.train([*line, "trainer.epochs=1"], tmp_path / "one")
    again = qrnn.train([f"resume={first.last}", "trainer.epochs=3"], tmp_path / "two")
    assert (again.epochs, again.metric) == (3, "rmse")
    with pytest.raises(ConfigError, match="task must be left out with resume"):
        qrnn.train([f"resume={first.last}", "task=digits"], tmp_path / "three")
