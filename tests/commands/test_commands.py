"""What every command does with a mistake."""

import pytest

from lamm.commands.parser import Parser, run
from lamm.errors import ConfigError


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
