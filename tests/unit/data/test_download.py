"""A download is complete and correct, or absent; over loopback, without a network."""

import functools
import http.server
import threading
from dataclasses import replace

import pytest
import wfdb.io.download
from tiny_records import TINY, write_record

from ecgexp.data.formats.download import download, use_server
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.digests import file_sha256

DATABASE = replace(TINY, slug="tiny/1")


@pytest.fixture
def published(tmp_path):
    """The folder of a server: two records, the list of records, and their digests."""
    folder = tmp_path / "www" / "tiny" / "1"
    folder.mkdir(parents=True)
    for seed, record in enumerate("ab"):
        write_record(folder, record, seed=seed)
    (folder / "RECORDS").write_text("a\nb\n")
    (folder / "SHA256SUMS.txt").write_text(
        "".join(f"{file_sha256(path)} {path.name}\n" for path in sorted(folder.iterdir()))
    )
    for path in folder.glob("*.hea"):  # as published: CRLF
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    return folder


class Copies:
    """Downloads by copying, and records the names.

    Files in `broken` are truncated; at files in `gone` the connection is lost.
    """

    def __init__(self, folder, *, broken=(), gone=()):
        self.folder, self.broken, self.gone, self.names = folder, broken, gone, []

    def __call__(self, slug, name, into):
        self.names.append(name)
        if name in self.gone:
            raise OSError("connection lost")
        content = (self.folder / name).read_bytes()
        (into / name).write_bytes(content[: len(content) // 2] if name in self.broken else content)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


WHOLE = ["RECORDS", "a.atr", "a.dat", "a.hea", "b.atr", "b.dat", "b.hea"]


def test_download_writes_all_files_and_no_others(published, tmp_path):
    folder = download(DATABASE, tmp_path / "data", fetch=Copies(published))
    assert folder == tmp_path / "data" / "tiny" / "1"
    assert names_in(folder) == WHOLE
    assert not (folder / ".part").exists()


def test_truncated_download_never_gets_its_name(published, tmp_path):
    with pytest.raises(DataError, match=r"a\.dat as downloaded does not have the SHA-256"):
        download(DATABASE, tmp_path, fetch=Copies(published, broken=("a.dat",)))
    assert not (tmp_path / "tiny/1/a.dat").exists()
    assert not (tmp_path / "tiny/1/.part/a.dat").exists()


def test_interrupted_download_resumes_where_it_stopped(published, tmp_path):
    with pytest.raises(
        DataError, match=r"tiny/1/b\.dat could not be downloaded \(connection lost\).*resumes"
    ):
        download(DATABASE, tmp_path, fetch=Copies(published, gone=("b.dat",)))
    again = Copies(published)
    folder = download(DATABASE, tmp_path, fetch=again)
    assert names_in(folder) == WHOLE
    assert not {"a.hea", "a.dat", "a.atr"} & set(again.names)


def test_changed_file_is_downloaded_again(published, tmp_path):
    folder = download(DATABASE, tmp_path, fetch=Copies(published))
    (folder / "a.dat").write_bytes(b"\0" * 3240)
    again = Copies(published)
    download(DATABASE, tmp_path, fetch=again)
    assert again.names == ["SHA256SUMS.txt", "a.dat"]


def test_record_that_contradicts_its_header_is_refused(published, tmp_path):
    (published / "a.dat").write_bytes(b"\0" * 3240)
    lines = [
        f"{file_sha256(path)} {path.name}\n"
        for path in sorted(published.iterdir())
        if path.name != "SHA256SUMS.txt"
    ]
    (published / "SHA256SUMS.txt").write_text("".join(lines))
    with pytest.raises(
        DataError, match=r"a\.dat begins lead MLII|a\.dat does not have its header's checksum"
    ):
        download(DATABASE, tmp_path, fetch=Copies(published))


def test_download_with_wfdb_from_a_local_server(published, tmp_path):
    handler = functools.partial(Quiet, directory=str(published.parents[1]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        wfdb.io.download.set_db_index_url(f"http://127.0.0.1:{server.server_port}/")
        try:
            calls = []
            folder = download(
                DATABASE, tmp_path / "data", on_progress=lambda *call: calls.append(call)
            )
        finally:
            wfdb.io.download.set_db_index_url()
            server.shutdown()
    assert names_in(folder) == WHOLE
    assert calls[0] == (0, 7, "RECORDS")
    assert calls[-1] == (7, 7, "checking")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Write nothing, so that the output of pytest stays readable."""


@pytest.mark.parametrize("url", ["", "physionet.org", "ftp://x/", "http://[bad/", "https:///files"])
def test_address_that_is_no_server_is_refused(url):
    with pytest.raises(ConfigError, match=r"--mirror .*: not an address of a server; use e\.g\. h"):
        use_server(url)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"garbage\n"])
def test_unreadable_digests_of_a_server_are_refused(published, tmp_path, content):
    (published / "SHA256SUMS.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"SHA256SUMS.txt as downloaded .* \(--mirror\)"):
        download(DATABASE, tmp_path / "data", fetch=Copies(published))
    assert not list(tmp_path.glob("data/**/SHA256SUMS.txt"))


def test_nested_error_of_the_network_shows_its_cause(tmp_path):
    def lost(slug, name, into):
        raise ConnectionError(RuntimeError("pool: many words", TimeoutError("timed out")))

    class Nested(OSError):
        reason = TimeoutError("server does not answer")

    def nested(slug, name, into):
        raise Nested("a long address")

    for fetch, words in ((lost, "pool"), (nested, r"\(server does not answer\)")):
        with pytest.raises(DataError, match=words):
            download(DATABASE, tmp_path, fetch=fetch)
