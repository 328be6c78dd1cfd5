"""Names planted in recordings are in nothing that a run writes or prints."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import wfdb
from edf_bytes import edf_file
from preloaded import run
from smallest_run import SMALLEST

from ecgexp.data.synthetic.database import write_database

FIELDS = ("Quillfeather", "Hospital-Xyz", "born", "1931-05-17", "JAN-1931", "67 sex")
PLANTED = (*FIELDS, "Zenobia")
COMMENTS = (
    "# Zenobia Quillfeather, born 1931-05-17, Patient: p{number}\n# age: 67 sex: F, Hospital-Xyz\n"
)
PREDICT = "import sys; from ecgexp.cli.predict import main; sys.exit(main())"


def plant(folder):
    """Ten records with a name in each place that a format has for one; one cannot be read."""
    write_database(folder, num_patients=10, minutes=0.6, seed=0, noise=1.0)
    (folder / "RECORDS").unlink()
    for number, path in enumerate(sorted(folder.glob("*.hea"))):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        path.write_text("\n".join(lines) + "\n" + COMMENTS.format(number=number))
        record = wfdb.rdann(str(path.with_suffix("")), "atr")
        notes = ["Zenobia Quillfeather" if at % 7 == 0 else "" for at in range(len(record.sample))]
        symbols = [
            "[" if note else symbol for note, symbol in zip(notes, record.symbol, strict=True)
        ]
        wfdb.wrann(path.stem, "atr", record.sample, symbols, aux_note=notes, write_dir=str(folder))
    path.write_text("Zenobia Quillfeather\n" + path.read_text())
    beats = np.random.default_rng(0).integers(-3000, 3000, 3600)
    signal = {"digital": beats, "samples": 100, "label": "ECG II"}
    fields = {
        "patient": "X F 01-JAN-1931 Zenobia_Quillfeather",
        "recording": "Startdate 02-FEB-1999 Hospital-Xyz",
    }
    notes = [(1, "Zenobia Quillfeather"), *((second, "N") for second in range(2, 30))]
    (folder / "night.edf").write_bytes(
        edf_file([signal], kind="EDF+C", annotations=notes, annotation_bytes=700, **fields)
    )


@pytest.mark.tf
def test_planted_names_are_in_no_output_of_a_private_run(tmp_path):
    """Also names of folders and ids of patients, since a guarantee gives pseudonyms."""
    folder = tmp_path / "recordings" / "Ward-of-Zenobia"
    folder.mkdir(parents=True)
    plant(folder)
    names = [f"{folder.name}/{path.stem}" for path in sorted(folder.glob("*.hea"))]
    rows = [f"{name},Zenobia{number},Quillfeather,1931" for number, name in enumerate(names)]
    table = tmp_path / "patients.csv"
    last = f"{folder.name}/night,Quillfeather,Quillfeather,1931"
    table.write_text("\n".join(["record,patient,name,born", *rows, last]))
    place = tmp_path / "place"
    place.mkdir()
    words = [word for word in SMALLEST if not word.startswith("dataset.")]
    done = run(
        "dataset=folder",
        f"dataset.path={folder.parent}",
        f"dataset.patients={table}",
        "dataset.on_error=skip",
        "dataset.demographics=true",
        "trainer=dp",
        "privacy.noise_multiplier=1",
        "trainer.expected_batch_size=8",
        "trainer.epochs=1",
        *words,
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    command = [sys.executable, "-m", "ecgexp.cli.report", "latest"]
    report = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert report.returncode == 0, report.stderr
    written = [path for path in place.rglob("*") if path.is_file()]
    assert {"result.json", "mlflow.db", "report.html"} <= {path.name for path in written}
    assert any(path.suffix == ".npy" for path in written)  # the cache
    texts = [path.read_bytes() for path in written if path.suffix != ".parquet"]
    texts += [
        pd.read_parquet(path).to_csv().encode() for path in written if path.suffix == ".parquet"
    ]
    said = [done.stdout, done.stderr, report.stdout, report.stderr]
    everything = b"\n".join([*texts, *(text.encode() for text in said)])
    assert (place / ".cache" / "pseudonyms").is_dir()
    assert b'"60-69"' in everything
    for name in PLANTED:
        assert name.encode() not in everything
    out = tmp_path / "out"
    words = [*(folder / name for name in ("s001", "night", "s012")), "--on-error", "skip"]
    words = ["latest", *words, "--output", out, "--format", "json,edf"]
    done = run(*words, cwd=place, code=PREDICT)
    assert "s012" in done.stdout + done.stderr  # it cannot be read
    written = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert {path.suffix for path in out.iterdir()} > {".json", ".edf"}
    everything = b"\n".join([*written, done.stdout.encode(), done.stderr.encode()])
    for name in FIELDS:  # the files are named after the records, as they were given
        assert name.encode() not in everything
