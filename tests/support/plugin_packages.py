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
