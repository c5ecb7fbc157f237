"""Wrong inputs: each is one line that says what to do, with status 2, and leaves no file."""

import json
import os
import subprocess
import sys


def no_account(home):
    """Return an environment without an IBM account, whoever runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("QISKIT_IBM_")}
    return {**kept, "HOME": str(home)}


WRONG = [
    (["fly"], "command 'fly' is not known: Allowed: completion, devices, draw, estimate, eval"),
    (["devices", "fakes"], "device 'fakes' is not known: did you mean fake_"),
    (["train", "trainer.loggers=[[1]]"], "trainer.loggers must be a list of names, got [[1]]"),
    (["train", "task=digit"], "task 'digit' is not known: did you mean digits"),
    (["train", "device=fused_"], "device 'fused_' is not known: did you mean fused"),
    (["train", "model.n_qubit=3"], "key 'model.n_qubit' is not known: did you mean n_qubits"),
    (["train", "trainer.lrr=3"], "Allowed: baselines, batch_size, clip, directions, epochs"),
    (["train", "model.n_qubits=many"], "model.n_qubits: Value 'many'"),
    (["train", "model.n_qubits=0"], "n_qubits must be at least 1, got 0"),
    (["train", "model.n_qubits=99"], "takes at most 30 qubits, got 99"),
    (["train", "model.entangler=CY"], "entangler 'CY' is not known"),
    (["draw", "model.circuits=3", "model.n_qubits=8"], "got 8 qubits for 3 circuits"),
    (["draw", "model.circuits=8", "model.n_qubits=8", "model.forget=reset"], "2 qubits in a circ"),
    (["train", "model.topology=star"], "topology 'star' is not known"),
    (["train", "model.readout=W"], "readout must be letters out of XYZ"),
    (["train", "model.readout_mode=weak"], "readout_mode 'weak' is not known"),
    (["estimate", "checkpoint=x", "device=fused"], "device must be an IBM device to have a cost"),
    (["train", "trainer.processes=3"], "trainer.processes must be at least 1 and divide"),
    (["train", "model.controller=tanh"], "controller 'tanh' is not known"),
    (["train", "model.dropout=1.5"], "dropout must be in [0, 1), got 1.5"),
    (["train", "model.ansatz=basic_entangler", "model.entangler=CZ"], "argument 'entangler'"),
    (["train", "trainer.epochs=0"], "trainer.epochs must be at least 1, got 0"),
    (["train", "device.shots=100"], "device 'fused' would ignore device.shots"),
    (["train", "device=lightning.gpu"], "pip install 'pennylane-qrnn[gpu]'"),
    (["train", "task=ptb", "task.data_dir=."], "task.data_dir must hold ptb.train.txt"),
    (["train", "task=mnist", "task.data_dir=nowhere"], "train-images-idx3-ubyte.gz"),
    (["train", "word"], "got 'word': write word=VALUE"),
    (["predict", "checkpoint=a_file", "input=x", "output=./a_file"], "output must be another file"),
    (
        ["predict", "checkpoint=a_file", "input=x", "plot=a_file"],
        "plot must be another file than",
    ),
    (["export", "checkpoint=a_file", "output=a_file"], "output must be another file than a_file"),
    (["evaluate", "a/best.ckpt"], "a/best.ckpt must follow its key: write checkpoint=a/best.ckpt"),
    (["train", "device=cuda"], "device 'cuda' is not known: use device=fused, which runs on"),
    (["train", "--epochs", "3"], "option '--epochs' is not known: write trainer.epochs=value"),
    (["train", "-v"], "option '-v' is not known: see --help"),
    (["train", "trainer.baselines=lstm"], "must be a list: write trainer.baselines=[...]"),
    (["train", "--hlep"], "option '--hlep' is not known: did you mean --help?"),
    (["evaluate", "--checkpoint", "x"], "option '--checkpoint' is not known: write checkpoint="),
    (["evaluate", "--batch-size", "4"], "'--batch-size' is not known: write batch_size=value"),
    (["train", "--seed", "3"], "or device.seed=value or trainer.seed=value"),
    (["train", "--checkpoint", "x"], "option '--checkpoint' is not known: see --help"),
    (["evaluate", "checkpoint=a=b/x.ckpt"], "quotes, got a=b/x.ckpt: write \"checkpoint='a=b/x.ck"),
    (["evaluate", "checkpoint=~/x.ckpt"], "quotes, got ~/x.ckpt: write \"checkpoint='~/x.ckpt'\""),
    (["evaluate", "checkpoint=[a].ckpt"], "quotes, got [a].ckpt: write \"checkpoint='[a].ckpt'\""),
    (["evaluate", "checkpoint=a,b"], "checkpoint must have one value, got a,b: write [a,b] for a"),
    (["train", "trainer.loggers='a\nb',c"], "must have one value, got 'a b',c: write ['a b',c]"),
    (["train", "trainer.baselines=[lstm"], "must have a value with all its brackets, got [lstm"),
    (["train", "model.n_qubits:3"], "got 'model.n_qubits:3': write model.n_qubits=3"),
    (["train", "trainer.epochs", "3"], "got 'trainer.epochs': write trainer.epochs=VALUE"),
    (["train", "help"], "an argument must be key=value, got help: see --help"),
    (["train", ""], "an argument must be key=value, got '': write key=value"),
    (["train", "~model"], "task and model must be chosen, not deleted: write model=lstm"),
    (["train", "model=lstm", "hidden_size=3"], "not known here: did you mean model.hidden_size?"),
    (["evaluate", "checkpoint=x", "model=lstm"], "model must be left out: this command takes it"),
    (["train", "model=lstm", "device.seed=1", "device=lightning.qubit"], "runs entirely in torch"),
    (["train", "model.embedding=3"], "model.embedding must be left out for inputs that are not"),
    (["train", "task=copying", "model.input_scale=3"], "model.input_scale must be left out for"),
    (["train", "task=copying", "model.attention=dot"], "model.attention must be left out where"),
    (["train", "task=null"], "a group must be given by name, such as model=lstm"),
    (["draw", "model=3"], "a group must be given by name, such as model=lstm"),
    (["train", "resume=none.ckpt"], "resume must be a file that `qrnn train` wrote"),
    (["train", "resume=none.ckpt", "task=mnist"], "task must be left out with resume"),
    (["evaluate"], "checkpoint must name a file"),
    (["evaluate", "checkpoint=none.ckpt"], "must be a file that `qrnn train` wrote"),
    (["evaluate", "checkpoint=x", "device=fake_fez"], "set device.shots, e.g. 1024"),
    (["evaluate", "checkpoint=x", "device=ibm_fez"], "set device.shots, e.g. 1024"),
    (
        ["evaluate", "checkpoint=x", "device=ibm_fez", "device.shots=10", "device.seed=1"],
        "device 'ibm_fez' would ignore device.seed: it reads",
    ),
    (
        [
            "evaluate",
            "checkpoint=x",
            "device=fake_fez",
            "device.shots=10",
            "device.instance=crn",
        ],
        "device 'fake_fez' would ignore device.instance: it reads",
    ),
    (
        ["evaluate", "checkpoint=x", "device=aer", "device.shots=10", "device.queue_timeout=3"],
        "device 'aer' would ignore device.queue_timeout: it reads",
    ),
    (
        ["evaluate", "checkpoint=x", "device=default.qubit", "device.zne=[1,3]"],
        "device 'default.qubit' would ignore device.zne",
    ),
    (["evaluate", "checkpoint=x", "device=ibm_Torino"], "device 'ibm_Torino' is not known"),
    (
        ["train", "trainer=spsa", "device=ibm", "device.shots=10"],
        "must be reachable with a saved account",
    ),
    (
        ["train", "trainer=spsa", "device=ibm_boston", "device.shots=10"],
        "must be reachable with a saved account",
    ),
    (
        ["train", "trainer=spsa", "device=ibm", "device.name=ibm_boston", "device.shots=10"],
        "with a saved account",
    ),
    (
        ["train", "trainer=spsa", "device=fake_fez", "device.shots=10", "device.zne=[2,3]"],
        "`zne` must be odd whole factors",
    ),
    (
        ["train", "trainer=spsa", "device=fake_manila", "device.shots=10"],
        "device 'fake_manila' takes at most 5 qubits, got 6",
    ),
    (
        ["train", "trainer=spsa", "device=aer", "device.shots=10", "device.mode=queue"],
        "must be one of job, batch",
    ),
    (["train", "device=aer", "device.shots=10"], "trainer.optimizer must be spsa on device 'aer'"),
    (["train", "resume=none.ckpt", "device=aer"], "or use finetune=FILE for a new training"),
    (["train", "finetune=none.ckpt"], "finetune must be a file that `qrnn train` wrote"),
    (["estimate"], "checkpoint must name a file: qrnn estimate checkpoint=FILE device=ibm_fez"),
    (["estimate", "checkpoint=x"], "device 'ibm' must have a fake backend to be priced without"),
    (["estimate", "checkpoint=x", "device=ibm_atlantis"], "'ibm_atlantis' must have a fake"),
    (["estimate", "checkpoint=x", "device=ibm_fez", "device.seed=1"], "ignore device.seed"),
    (["estimate", "checkpoint=x", "device=aer"], "must be a file that `qrnn train` wrote"),
    (["estimate", "checkpoint=x", "hydra.sweeper=a", "device=aer"], "must be a file that"),
    (
        ["estimate", "checkpoint=x", "device=fused", "device.shots=null"],
        "device must be an IBM device to have a cost, got 'fused'",
    ),
    (["evaluate", "checkpoint=x", "split=all"], "split 'all' is not known"),
    (["evaluate", "checkpoint=x", "+limits=3"], "key 'limits' is not known: did you mean limit"),
    (["train", "+trainer.lrr=3"], "key 'lrr' is not known: did you mean lr"),
    (["train", "trainer.lr", "=3"], "=3 must follow its key without a space"),
    (["train", "--config-name=fly"], "'fly' is not known: it must name a file in the folder of"),
    (["train", "hydra.run.dir=a_file/x"], "a_file/x: Not a directory"),
    (["train", "hydra.run.dir=empty", "trainer.epochs=0"], "trainer.epochs must be at least 1"),
    (["draw", "device=reference.qubit", "+device.options.a=1"], "package cannot be made (TypeErr"),
    (["train", "device=default.qutrit"], "names): `qrnn devices` lists them"),
    (["draw", "model=lstm"], "model must be hybrid to be drawn, got lstm"),
    (["train", "trainer=[null]"], "a group must be given by name, such as model=lstm"),
    (["draw", "device=[nan]"], "a group must be given by name, such as model=lstm"),
    (["draw", "+model.rotations.x={}"], "the arguments cannot be read"),
    (["draw", "hydra.verbose=3"], "the arguments cannot be read (AssertionError in configure_log"),
    (["train", "--resolve"], "The --resolve flag can only be used in conjunction with --cfg"),
    (["train", "--run", "--multirun"], "Only one of --run, --multirun, --cfg, --info"),
    (["train", "--cfg", "x"], "argument --cfg/-c: invalid choice: 'x'"),
    (["train", "--config-name"], "argument --config-name/-cn: expected one argument"),
    (["train", "--experimental-rerun=a_file"], "option '--experimental-rerun=a_file' is not known"),
    (["draw", "--config-dir=conf", "model=mine"], "the arguments cannot be read (ConstructorError"),
    (["train", "model.bias_range=1e308"], "model.bias_range must be within -1e+30..1e+30, got 1e"),
    (["train", "model.budget=1000000000"], "model.budget must be null or in 1..100000000, got 10"),
    (["train", "model.width=1000000000000"], "model.width must be within -4294967295..4294967295"),
    (["train", "model.width=3000000000"], "the model must fit into this machine's memory"),
    (["train", "device=default.qubit", "device.shots=100000000000"], "device.shots must be within"),
    (["train", "device=default.qubit", "device.shots=3000000000"], "shots must be at most 10"),
    (["draw", "+x=\udcff"], "arguments must be UTF-8"),
    (["train", "--multirun", "trainer.epochs=0,-1"], "trainer.epochs must be at least 1, got 0"),
    (
        ["draw", "device=default.mixed", "device.noise=pink", "device.strength=0.1"],
        "device.noise 'pink' is not known",
    ),
]


def test_wrong_input_is_one_line_with_status_2(tmp_path):
    here = tmp_path / "here"
    (here / "empty").mkdir(parents=True)
    (here / "a_file").touch()
    (here / "conf/model").mkdir(parents=True)
    (here / "conf/model/mine.yaml").write_text("x: !!python/object:os.system 1\n")
    before = sorted(here.rglob("*"))
    # One process for all: each alone would spend seconds on imports.
    script = """
import contextlib, io, json, sys
from hydra.core.global_hydra import GlobalHydra
from qrnn.cli import main
results = []
for arguments in json.load(sys.stdin):
    GlobalHydra.instance().clear()
    sys.argv = ["qrnn", *arguments]
    out, err, status = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit:
            status = exit.code
    results.append([status, out.getvalue(), err.getvalue()])
json.dump(results, sys.stdout)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([a for a, _ in WRONG]),
        cwd=here,
        capture_output=True,
        text=True,
        timeout=240,
        env=no_account(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    for (arguments, message), (status, out, err) in zip(
        WRONG, json.loads(done.stdout), strict=True
    ):
        assert status == 2, arguments
        assert message in err, arguments
        assert err.startswith("qrnn: ")
        assert err.count("\n") == 1
        assert "Traceback" not in out + err
    assert sorted(here.rglob("*")) == before
