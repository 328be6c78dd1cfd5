import subprocess
import sys

import pytest
from finished_runs import CENTRALIZED, failed, finished

from ecgexp.cli.report import main


def test_report_of_a_folder_writes_a_page(tmp_path, capsys):
    for seed in (1, 2):
        finished(tmp_path / "sweep" / f"{seed}", params=CENTRALIZED, seed=seed)
    failed(tmp_path / "sweep" / "3", reason="x")
    target = tmp_path / "new" / "page.html"
    assert main([str(tmp_path / "sweep"), "--output", str(target)]) == 0
    assert "2 runs in 1 configuration, 1 that failed" in capsys.readouterr().out
    page = target.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    "arguments",
    [["a", "--experiment", "b"], ["--filter", "a", "--experiment", "b"], ["--color"], ["a", "b"]],
)
def test_report_with_contradicting_arguments_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("ecgexp-report: ")
    assert error.count("\n") == 1


def test_report_of_a_missing_store_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ecgexp-report: there are no runs")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_report_that_cannot_be_written_is_one_line(tmp_path, capsys):
    finished(tmp_path / "sweep" / "1", params=CENTRALIZED)
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "sweep"), "--output", str(tmp_path / "file" / "page.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_help_of_report_imports_nothing_heavy():
    code = (
        "import sys, ecgexp.cli.report as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'mlflow', 'pandas', 'matplotlib', 'tensorflow', 'jinja2', 'numpy'} & "
        "set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_figures_do_not_need_tensorflow(tmp_path):
    finished(tmp_path / "sweep" / "1", params=CENTRALIZED)
    code = (
        "import sys, ecgexp.cli.report as m\n"
        f"assert m.main([{str(tmp_path / 'sweep')!r}, '--output', "
        f"{str(tmp_path / 'page.html')!r}]) == 0\n"
        "assert not {'tensorflow', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def written(*words, code=0):
    assert main(list(map(str, words))) == code


def test_report_replaces_another_only_with_overwrite(tmp_path, capsys):
    finished(tmp_path / "sweep" / "1", params=CENTRALIZED)
    target = tmp_path / "page.html"
    written(tmp_path / "sweep", "--output", target)
    before = target.read_bytes()
    finished(tmp_path / "sweep" / "2", params=CENTRALIZED, seed=2)
    written(tmp_path / "sweep", "--output", target, code=2)
    assert (
        f"--output {target}: the report exists already; use --overwrite" in capsys.readouterr().err
    )
    assert target.read_bytes() == before
    written(tmp_path / "sweep", "--output", target, "--overwrite")
    assert target.read_bytes() != before


@pytest.mark.parametrize(("first", "second"), [([], ["--public"]), (["--public"], [])])
def test_public_report_and_full_one_never_replace_each_other(tmp_path, capsys, first, second):
    finished(tmp_path / "sweep" / "1", params=CENTRALIZED)
    target = tmp_path / "page.html"
    written(tmp_path / "sweep", "--output", target, *first)
    before = target.read_bytes()
    written(tmp_path / "sweep", "--output", target, "--overwrite", *second, code=2)
    assert f"--output {target}: a " in (said := capsys.readouterr().err)
    assert "use another --output" in said
    assert target.read_bytes() == before
    written(tmp_path / "sweep", "--output", target, "--overwrite", *first)


def test_public_report_has_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished(tmp_path / "sweep" / "1", params=CENTRALIZED)
    written("sweep")
    written("sweep", "--public")
    assert {file.name for file in tmp_path.glob("*.html")} == {"report.html", "report-public.html"}
