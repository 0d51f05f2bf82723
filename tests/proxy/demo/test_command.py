"""The demo's commands say in a line what is wrong with what was asked for, and how to get a demo."""

from pathlib import Path

import pytest

from proxy.demo import command, place
from proxy.demo.place import Ports
from proxy.demo.processes import free_ports


@pytest.mark.parametrize("arguments", [["status"], ["load"], ["kill", "2"]])
@pytest.mark.parametrize("earlier", [False, True], ids=["never started", "ended"])
def test_where_none_runs_is_said_how_to_start_one(
    arguments: list[str], earlier: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if earlier:
        place.settings_file(tmp_path).write_text(Ports(*free_ports(2), (1, 2, 3)).settings())
    assert command.main([*arguments, "--dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"no demo is running in {tmp_path} (" in said
    assert "`make demo`" in said


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["up", "--port", "0"], "0 is no TCP port"),
        (["up", "--port", "65536"], "65536 is no TCP port"),
        (["up", "--http-port", "web"], "web is no TCP port"),
        (["load", "--seconds", "soon"], "soon is no time in seconds"),
        (["load", "--seconds", "nan"], "nan is no time in seconds"),
        (["load", "--seconds", "0"], "0 is no time in seconds"),
        (["kill", "4"], "invalid choice: 4"),
    ],
)
def test_a_wrong_argument_is_named(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == 2
    assert text in capsys.readouterr().err


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert command.main(["up", "--dir", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_ctrl_c_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(directory: Path) -> Ports:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, "read_ports", interrupted)
    assert command.main(["load", "--dir", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "\n"
