import subprocess
import sys

import pytest
from finished_runs import CENTRALIZED, failed, finished

from ecgexp.cli.report import main


def test_a_folder_of_runs_becomes_a_page(tmp_path, capsys):
    for seed in (1, 2):
        finished(tmp_path / "sweep" / f"{seed}", params=CENTRALIZED, seed=seed)
    failed(tmp_path / "sweep" / "3", reason="x")
    target = tmp_path / "new" / "page.html"
    assert main(["--parent", str(tmp_path / "sweep"), "--output", str(target)]) == 0
    assert "2 runs in 1 configurations, 1 that failed" in capsys.readouterr().out
    page = target.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--parent", "a", "--experiment", "b"],
        ["--filter", "a", "--experiment", "b"],
        ["--colour"],
        ["a"],
    ],
)
def test_arguments_that_contradict_each_other_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("ecgexp-report: ")
    assert error.count("\n") == 1


def test_a_store_that_is_not_there_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ecgexp-report: there are no runs")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_page_that_cannot_be_written_is_one_line(tmp_path, capsys):
    finished(tmp_path / "sweep" / "1", params=CENTRALIZED)
    (tmp_path / "file").write_text("")
    assert (
        main(
            ["--parent", str(tmp_path / "sweep"), "--output", str(tmp_path / "file" / "page.html")]
        )
        == 1
    )
    assert "cannot be written" in capsys.readouterr().err


def test_help_is_instant():
    code = (
        "import sys, ecgexp.cli.report as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'mlflow', 'pandas', 'matplotlib', 'tensorflow', 'jinja2', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_figures_do_not_need_tensorflow(tmp_path):
    finished(tmp_path / "sweep" / "1", params=CENTRALIZED)
    code = (
        "import sys, ecgexp.cli.report as m\n"
        f"assert m.main(['--parent', {str(tmp_path / 'sweep')!r}, '--output', {str(tmp_path / 'page.html')!r}]) == 0\n"
        "assert not {'tensorflow', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
