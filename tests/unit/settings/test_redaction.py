"""Secrets of all published formats are removed, other text is unchanged, in linear time."""

import json
import time

import pytest

from ecgexp.settings.redaction import HIDDEN, is_secret_name, redact, redacted

SECRET = "S3CR3Tvalue"  # noqa: S105
PLANTED = [
    f"http://{SECRET}:@host/x",
    f"http://{SECRET}@host",
    f"http://me:{SECRET}@host:5000/x",
    f"http://me:p/{SECRET}@host/x",
    f"http://me:p?{SECRET}@host",
    f"http:\\/\\/me:{SECRET}@host",
    rf"tracking.uri=http\://me\:{SECRET}@host\:5000/x",
    f"https%3A%2F%2Fme%3A{SECRET}%40host/x",
    f"postgresql+psycopg2://u:{SECRET}@db/mlflow",
    f"https://h/p?token={SECRET}&a=1",
    f"https://x.blob.host/?sv=1&sig={SECRET}",
    f"https://s3.host/?X-Amz-Signature={SECRET}",
    f"password%3D{SECRET}",
    f"github_pat={SECRET}",
    f"github_pat_11ABC{SECRET}",
    f"ghp_{SECRET}",
    f"glpat-{SECRET}",
    "AKIA" + SECRET.upper(),
    f"xoxb-123-{SECRET}",
    f"sk-proj-{SECRET}",
    f"hf_{SECRET}12345",
    f"eyJhbGciOi.eyJ{SECRET}.{SECRET}",
    f"Bearer {SECRET}",
    f"Authorization: Bearer {SECRET}",
    f"Authorization: Basic {SECRET}==",
    f'{{"Authorization": "Bearer {SECRET}"}}',
    f"auth={SECRET}",
    f"pwd: {SECRET}",
    f"passwd = {SECRET}",
    f"password => {SECRET}",
    f"password=ab,{SECRET}",
    f"secret: {SECRET} and more {SECRET}",
    f'password="a\\"{SECRET}"',
    f"password='it''s {SECRET}'",
    f'"password": "{SECRET}"',
    f"{{'password': '{SECRET}'}}",
    json.dumps({"a": json.dumps({"token": f'x"{SECRET}'})}),
    f"AWS_SECRET_ACCESS_KEY={SECRET}",
    f"apiKey={SECRET}",
    f"accessToken:{SECRET}",
    f"X-Api-Key: {SECRET}",
    f"private_key={SECRET}",
    f"private_key: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  {SECRET}\n  x: {SECRET}\nnext: 1",
    f"token: >\n  {SECRET}\n  {SECRET}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN EC PRIVATE KEY-----\\n{SECRET}",
    f"--password {SECRET}",
    f"--api-key={SECRET}",
    f"tracking.tags={{api_token:{SECRET},x:1}}",
    f"<password>{SECRET}</password>",
    f"ecgexp privacy.noise_seed={SECRET}",
]


@pytest.mark.parametrize("text", PLANTED)
def test_secret_of_known_shape_is_hidden(text):
    hidden = redact(text)
    assert SECRET not in hidden
    assert SECRET.upper() not in hidden
    assert HIDDEN in hidden
    assert redact(hidden) == hidden
    assert SECRET not in redact(f"before\n{text}\nafter")
    assert SECRET not in str(redacted({"note": [text]}))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("http://me:pw@host:5000/x", f"http://{HIDDEN}@host:5000/x"),
        ("http://me:p@ss:w@host:5000/x@y", f"http://{HIDDEN}@host:5000/x@y"),
        (
            "cannot reach https://:pw@host and ftp://a:b@c",
            f"cannot reach https://{HIDDEN}@host and ftp://{HIDDEN}@c",
        ),
        (r'"http\\://me\\:pw@host"', rf'"http\\://{HIDDEN}@host"'),
        ("http://a:b@c,http://d:e@f", f"http://{HIDDEN}@c,http://{HIDDEN}@f"),
        (
            "postgresql://host/db?user=me&password=pw&ssl=1",
            f"postgresql://host/db?user=me&password={HIDDEN}&ssl=1",
        ),
        ("ecgexp privacy.noise_seed=7 seed=1", f"ecgexp privacy.noise_seed={HIDDEN} seed=1"),
        ('{"token": "a", "seed": 1}', f'{{"token": "{HIDDEN}", "seed": 1}}'),
        ('{"token": 5, "seed": 1}', f'{{"token": "{HIDDEN}", "seed": 1}}'),
        ("tracking.tags={api_token:a,x:1}", f"tracking.tags={{api_token:{HIDDEN},x:1}}"),
        ("token: a b\nseed: 1", f"token: {HIDDEN}\nseed: 1"),
    ],
)
def test_text_around_a_secret_is_unchanged(text, kept):
    assert redact(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///mlruns/mlflow.db",
        "sqlite:////home/me@work/mlflow.db",
        "http://host:5000/a@b",
        "s3://bucket/me@work/x",
        "git@github.com:me/project",
        "'privacy.noise_seed=null'",
        "token=${oc.env:TOKEN}",
        "auth: true",
        '{"epsilon_if_noise_were_secret": 3.5}',
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0ba822cd15d6c15b0f00a08",
        "run 0123456789abcdef0123456789abcdef, commit 34f41c5e78f07cee49e08",
        "num_tokens=5 author: me low_pass=40 compat=1 key=value",
        "a task-force of sk-learn people",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
    ],
)
def test_text_without_a_secret_is_unchanged(text):
    assert redact(text) == text


def test_noise_seed_is_kept_on_request():
    assert (
        redact("privacy.noise_seed=7 token=a", noise_seeds=False)
        == f"privacy.noise_seed=7 token={HIDDEN}"
    )


def test_secret_names_are_recognized_by_their_suffix():
    assert all(
        map(
            is_secret_name,
            ("github_pat", "tags.API_TOKEN", "pwd", "private-key", "auth", "noise_seed", "pat"),
        )
    )
    assert not any(
        map(
            is_secret_name,
            ("seed", "num_tokens", "author", "compat", "epsilon_if_noise_were_secret"),
        )
    )


REPEATED = [
    "a",
    "://",
    "http://a",
    "http://a:b",
    "@",
    "password",
    "password ",
    "password='",
    'password="',
    'password:\\"',
    "token ",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN ",
    "eyJ",
    "eyJaaaa.",
    "sk-a",
    "ghp_",
    "Bearer ",
    "--a-",
    "--password",
    "\n  - ",
    "token: |\n ",
    "?key=",
    "=",
    ":",
    ",",
    "\\",
    '"',
    "'",
    "password\\\\",
    "api_key",
    "x.y-z/",
    "%3A%2F%2F",
    "<",
    "é password ",
]


@pytest.mark.parametrize("unit", REPEATED)
def test_redaction_time_is_linear(unit):
    """Ten times the text takes ten times the time, with a margin of five.

    A quadratic pattern would take a hundred times the time.
    """

    def seconds(length):
        text, best = unit * (length // len(unit)), float("inf")
        for _ in range(3):
            started = time.process_time()
            redact(text)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(200_000) < 50 * max(seconds(20_000), 1e-4)
