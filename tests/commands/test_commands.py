"""The console script `lamm`, and what every command does with a mistake."""

import sys

import pytest

from lamm.commands import COMMANDS
from lamm.commands import main as lamm_main
from lamm.commands.parser import Parser, run
from lamm.errors import ConfigError, EngineError
from tests.train_command import ROOT


def outcome(main, *words):
    parser = Parser(prog="it.py")
    parser.add_argument("--seed", type=int)
    with pytest.raises(SystemExit) as stop:
        run(parser, main, words)
    return stop.value.code


def raising(error):
    def main(arguments):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("wrong:\nthis"), "error: wrong: this"),
        (PermissionError(13, "Permission denied", "/x"), "error: /x: Permission denied; check the path"),
        (OSError(28, "No space left on device"), "error: [Errno 28] No space left on device"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, error, line):
    assert outcome(raising(error)) == 2
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1


def test_debug_shows_the_traceback(capsys):
    assert outcome(raising(ConfigError("wrong")), "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(Parser(prog="it.py"), lambda _: 1 // 0, [])


def test_an_interruption_has_the_shells_exit_code(capsys):
    assert outcome(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_exit_code_is_that_of_main():
    assert outcome(lambda _: 3) == 3
    assert outcome(lambda _: None) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--sede", "1"], "did you mean --seed?"), (["--seed", "x"], "invalid int value: 'x'"), (["--see", "1"], "--see")],
)
def test_a_wrong_flag_is_one_line(capsys, words, said):
    assert outcome(lambda _: 0, *words) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def console(*words):
    with pytest.raises(SystemExit) as stop:
        lamm_main(words)
    return stop.value.code


def test_lamm_lists_its_commands(capsys):
    assert console("--help") == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in COMMANDS)
    assert console() == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_under_the_name_of_lamm(capsys, monkeypatch, name):
    monkeypatch.setattr(sys, "argv", sys.argv)
    assert console(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: lamm {name} ")


def test_an_unknown_command_is_one_line(capsys):
    assert console("sweeep") == 2
    assert capsys.readouterr().err.startswith('error: unknown command "sweeep"; did you mean "sweep"')


def test_every_tool_of_the_checkout_is_a_command():
    tools = {path.stem.replace("_", "-") for path in (ROOT / "tools").glob("*.py")}
    assert tools == set(COMMANDS) - {"train"}


def test_an_engine_that_can_not_run_is_one_line(capsys, monkeypatch):
    def fail(name):
        raise EngineError("no engine")

    monkeypatch.setattr("importlib.import_module", fail)
    assert console("sweep") == 2
    assert capsys.readouterr().err == "error: no engine\n"
