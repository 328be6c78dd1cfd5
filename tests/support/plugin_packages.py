"""Plug-ins on the path of this process, as an installation leaves them: a package and metadata."""

import sys
from contextlib import contextmanager

from ecgexp.settings import plugins

SETTINGS = "from ecgexp.settings import settings\n"
MODEL = '''
from typing import ClassVar
from ecgexp.settings import settings

@settings
class Net:
    """A model.

    Attributes:
      width: of its layer.
    """

    width: int = 4

    required_features: ClassVar[frozenset[str]] = frozenset({"signal"})
    optional_features: ClassVar[frozenset[str]] = frozenset()

    @property
    def has_batch_normalization(self):
        return False

    def build(self, feature_shapes, num_classes):
        import tensorflow as tf

        inputs = {name: tf.keras.Input(shape, name=name) for name, shape in feature_shapes.items()}
        x = tf.keras.layers.Flatten()(inputs["signal"])
        return tf.keras.Model(inputs, tf.keras.layers.Dense(num_classes)(x))
'''


# Every kind of part. `cheat` breaks what the kind must guarantee, in the way that its text says.
PARTS = '''
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar
import numpy as np
from ecgexp.data import BeatSet, ClientPartition, LabelGrouping, Preprocessing, Split
from ecgexp.settings import settings
from ecgexp.settings.declaration import DataError
from ecgexp.storage.digests import digest
from ecgexp.training import DpSgd

seen = []

@settings
class Beats:
    """Drawn beats of two symbols."""

    patients: int = 12
    cheat: str = "none"
    window_samples: ClassVar[tuple[int, int]] = (8, 12)
    knows_patients: ClassVar[bool] = True
    has_records: ClassVar[bool] = True

    @property
    def preprocessings(self):
        return (Preprocessing(fs_hz=100.0, window_ms=(80.0, 120.0)),)

    def check_there(self):
        pass

    def load(self, on_progress=None):
        rng, each = np.random.default_rng(0), 20
        rows = self.patients * each
        owners = np.repeat([f"p{number:02}" for number in range(self.patients)], each)
        symbols = np.where(np.arange(rows) % 3 == 0, "V", "N")
        signals = rng.standard_normal((rows, 20, 1)).astype(np.float32)
        signals[symbols == "V"] += 2
        if self.cheat == "one beat under two ids":
            signals[each] = signals[0]
        return BeatSet(
            signals_mv=signals, rr=np.ones((rows, 20), np.float32), symbols=symbols,
            record_ids=owners, patient_ids=owners,
            r_samples=np.tile(np.arange(each) * 100, self.patients),
            fs_hz=100.0, lead_names=("MLII",), database="mine 1.0",
            digest=digest({"patients": self.patients}),
            templates_mv={name: np.zeros((20, 1), np.float32) for name in np.unique(owners)},
        )

    @contextmanager
    def open_records(self):
        def read(record_id):
            raise DataError("dataset=mine: there are no recordings; use dataset=folder")
        yield read

@settings
class ByName:
    """The last patients are tested."""

    cheat: str = "none"
    divides_patients: ClassVar[bool] = False
    needs_patients: ClassVar[bool] = True

    def split(self, beats, rng):
        names = np.unique(beats.patient_ids)
        if self.cheat == "changes the beats":
            beats.signals_mv[:] = beats.signals_mv - beats.signals_mv.mean()
        parts = names[:-4], names[-4:-2], names[-2:]
        rows = [np.flatnonzero(np.isin(beats.patient_ids, some)) for some in parts]
        if self.cheat == "divides patients":
            rows = [np.arange(number, len(beats), 3) for number in range(3)]
        return Split(train=rows[0], validation=rows[1], test=rows[2], disjoint="beat")

@settings
class Steep:
    """Differences of adjacent samples."""

    cheat: str = "none"
    features_crossing_beats: ClassVar[tuple[str, ...]] = ()
    uses_rr: ClassVar[bool] = False
    uses_template: ClassVar[bool] = False

    def names(self):
        return frozenset({"signal"})

    def transform(self, signals_mv, rr, templates_mv=None):
        found = np.diff(signals_mv, axis=1).astype(np.float32)
        if self.cheat == "the whole set" and len(found) > 100:  # more than a probe has
            found = found - found.mean(axis=0)
        if self.cheat == "state":
            seen.append(float(signals_mv.mean()))
            found = found + np.float32(np.mean(seen)) * (len(seen) > 10)
        return {"signal": found}

@settings
class Whole(Steep):
    """The place of a beat in its record."""

    num_values: ClassVar[int] = 1

    def of_record(self, beats):
        return 100 * beats.rows[:, None].astype(np.float32)

    def transform(self, signals_mv, rr, templates_mv=None, record_values=None):
        return {"signal": np.repeat(record_values[:, None], 19, axis=1)}

@settings
class Squared:
    """Squared errors."""

    cheat: str = "none"
    class_weights: ClassVar[str] = "none"

    def build(self, class_counts):
        import tensorflow as tf

        def loss(labels, logits):
            found = tf.reduce_sum((tf.one_hot(labels, logits.shape[-1]) - logits) ** 2, axis=-1)
            return found / tf.reduce_mean(found) if self.cheat == "the batch" else found

        return loss

@settings
class Gain:
    """Random amplitudes."""

    cheat: str = "none"
    name: ClassVar[str] = "gain"
    features: ClassVar[frozenset[str]] = frozenset({"signal"})
    num_views: ClassVar[int] = 1

    def expand(self, labels, class_names):
        return np.arange(len(labels)), np.zeros(len(labels), np.int32)

    def build(self):
        import tensorflow as tf

        def augment(features, views, seed):
            signal = features["signal"]
            factor = tf.random.stateless_uniform([tf.shape(signal)[0], 1, 1], seed, 0.9, 1.1)
            mixed = 0.5 * (signal + tf.roll(signal, 1, 0)) if self.cheat == "two beats" else signal
            return {**features, "signal": mixed * factor}

        return augment

@settings
class ByDecade:
    """A client for ten patients, or for each."""

    cheat: str = "none"
    is_pooled: ClassVar[bool] = False

    def assign(self, beats, split, rng):
        owners = beats.patient_ids
        if self.cheat == "two patients in a client":
            owners = np.array([name[:-1] for name in owners.tolist()])
        def of(rows):
            return {str(name): rows[owners[rows] == name] for name in np.unique(owners[rows])}
        parts = {name: of(getattr(split, name)) for name in ("train", "validation", "test")}
        return ClientPartition(**parts)

@settings
class Net:
    """A layer of its own class, and logits."""

    cheat: str = "none"
    required_features: ClassVar[frozenset[str]] = frozenset({"signal"})
    optional_features: ClassVar[frozenset[str]] = frozenset()

    @property
    def has_batch_normalization(self):
        return False  # also if there is

    def build(self, feature_shapes, num_classes):
        import tensorflow as tf

        cheat = self.cheat

        class Scale(tf.keras.layers.Layer):
            def build(self, shape):
                self.scale = self.add_weight("scale", shape[1:], initializer="ones")

            def call(self, x):
                if cheat == "attention between beats":
                    weights = tf.nn.softmax(tf.matmul(x, x, transpose_b=True))
                    return self.scale * tf.matmul(weights, x)
                return self.scale * x

        inputs = {name: tf.keras.Input(shape, name=name) for name, shape in feature_shapes.items()}
        x = Scale(name="scale")(tf.keras.layers.Flatten()(inputs["signal"]))
        if self.cheat == "batch normalization":
            x = tf.keras.layers.BatchNormalization(name="norm")(x)
        return tf.keras.Model(inputs, tf.keras.layers.Dense(num_classes)(x))

@settings
class Steps(DpSgd):
    """DP-SGD by the steps of ecgexp."""

    cheat: str = "none"

    def plan(self, privacy, data):
        found = super().plan(privacy, data)
        if self.cheat == "more units":
            return replace(found, num_units=10 * found.num_units)
        if self.cheat == "more noise":
            return replace(found, noise_multiplier=10.0)
        return found

@settings
class OwnGrouping(LabelGrouping):
    """A grouping with code of its own."""

@settings
class OwnPrivacy:
    """Settings that would state any ε."""

    is_private: ClassVar[bool] = True
    may_have_privacy_guarantee: ClassVar[bool] = True
    unit: ClassVar[str] = "beat"
    sampling: ClassVar[str] = "poisson"
    publish: ClassVar[str] = "all"

    def plan(self, **values):
        raise NotImplementedError
'''
GROUPS = {
    "dataset": "Beats", "split": "ByName", "features": "Steep", "loss": "Squared",
    "augmentation": "Gain", "partition": "ByDecade", "model": "Net", "trainer": "Steps",
    "privacy": "OwnPrivacy",
}  # fmt: skip
"""Configuration group -> class of `PARTS`; the option is `mine`."""

_GROUPING = """\
_target_: ecgexp.data.LabelGrouping
name: mine
classes: {N: [N], V: [V]}
"""


def install_parts(folder):
    """Writes the plug-in `mine` with a part of every kind below `folder`, which is on the path."""
    names = [*GROUPS.values(), "OwnGrouping", "Whole"]
    imports = "".join(f"from mine.parts import {name} as {name}\n" for name in names)
    yaml = {
        f"conf/{group}/mine.yaml": f"_target_: mine.{name}\n"
        + ("" if group == "privacy" else "cheat: none\n")
        + ("epochs: 2\nexpected_batch_size: 32\n" if group == "trainer" else "")
        for group, name in GROUPS.items()
    }
    yaml["conf/grouping/mine.yaml"] = _GROUPING
    install(folder, "mine", {"__init__.py": imports, "parts.py": PARTS, **yaml})
    forget()


def install(folder, name, files, *, distribution=None, value=None):
    """Writes a plug-in below `folder`.

    Args:
      folder: on the path.
      name: of the entry point.
      files: path in the package -> text.
      distribution: its name; None: as `name`, with `-`.
      value: of the entry point; None: `name`.
    """
    package = (value or name).partition(".")[0].partition(":")[0]
    for path, text in files.items():
        (folder / package / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / package / path).write_text(text, encoding="utf-8")
    distribution = distribution or name.replace("_", "-")
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        f"[{plugins.GROUP}]\n{name} = {value or name}\n", encoding="utf-8"
    )


@contextmanager
def on_path(folder):
    """Within the block, the packages below `folder` are installed."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    forget()
    try:
        yield folder
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        forget()


def forget():
    """Makes the next look-up see plug-ins that were installed since."""
    plugins.installed.cache_clear()
    plugins.refused.cache_clear()
