"""What is in the way of a run's files."""

from __future__ import annotations

import pytest

from llmtuner.cli.main import main
from llmtuner.cli.preflight_paths import check_output_dir
from llmtuner.errors import UserError


@pytest.mark.parametrize("name", [".lock", "predictions.jsonl", "predict_results.json", "trainer_state.json"])
def test_a_folder_of_a_files_name_is_said_before_the_run(name, tmp_path):
    """A prediction deleted the earlier results, and ended in a traceback after all of its work."""
    check_output_dir(str(tmp_path))
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=rf"{name} is a folder, and a run writes a file of this name there"):
        check_output_dir(str(tmp_path))


def test_a_deleted_working_directory_is_named(tmp_path, monkeypatch, capsys):
    """It ended in a traceback about "[Errno 2] No such file or directory", of no file."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["--do_train"]) == 2
    assert capsys.readouterr().err == "error: the working directory was deleted; change to a folder that exists\n"


def test_a_link_to_nowhere_is_no_output_folder(tmp_path):
    """It ended in a traceback, after the imports."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="link to a folder that is not there"):
        check_output_dir(str(tmp_path / "link"))
    (tmp_path / "nowhere").mkdir()
    check_output_dir(str(tmp_path / "link"))
