"""`tracking=tensorboard` and `tracking=wandb`. Only `start` imports what a tracker needs."""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ecgexp.settings.declaration import ConfigError, settings
from ecgexp.settings.installation import install_extra
from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import ReadableTracker, Tracker
from ecgexp.tracking.local.tracker import JsonlTracker
from ecgexp.tracking.mirrored import MirroredTracker
from ecgexp.tracking.settings import WithoutStore
from ecgexp.tracking.without_store import NullTracker

if TYPE_CHECKING:
    from wandb import Run

TENSORBOARD, WANDB = "tensorboard", "wandb"
"""Folders in the run's folder."""


@settings
class TensorboardTracking(WithoutStore):
    """`tracking=tensorboard`: the run folder, and TensorBoard's event files in it.

    Example:
      >>> TensorboardTracking().shown_in
      'TensorBoard'
    """

    shown_in: ClassVar[str] = "TensorBoard"
    is_readable: ClassVar[bool] = True

    def start(
        self,
        *,
        run_name: str,
        run_dir: Path | None,
        resume_run_id: str | None = None,
        base_dir: Path | None = None,
        hides_times: bool = False,
    ) -> ReadableTracker:
        """Return a tracker of the run in `run_dir`; see `MlflowTracking.start`."""
        if run_dir is None:
            return NullTracker()
        from ecgexp.tracking.provenance import system_tags
        from ecgexp.tracking.tensorboard.tracker import TensorboardTracker

        local = JsonlTracker(run_dir)
        return _started(local, TensorboardTracker(run_dir / TENSORBOARD), run_name, system_tags())


@settings
class WandbTracking(WithoutStore):
    """`tracking=wandb`: the run folder, and a run of Weights & Biases, offline by default.

    A run there cannot be read again, so it cannot be resumed. Neither the code, the machine nor the
    console is recorded, and errors of the library are not reported.

    Attributes:
      project: the project, created if it is missing.
      entity: the user or team; None for the default of the log-in.
      mode: `offline` writes to the run's folder, and `wandb sync` sends it; `online` sends it at
        once, with the key of `wandb login` or `WANDB_API_KEY`.

    Example:
      >>> WandbTracking().mode
      'offline'
    """

    shown_in: ClassVar[str] = "Weights & Biases"
    is_readable: ClassVar[bool] = False

    project: str = Field(default="ecgexp", min_length=1, max_length=128)
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"

    def check(self) -> None:
        """Check that the library is installed.

        Raises:
          ConfigError: it is not.
        """
        if importlib.util.find_spec("wandb") is None:
            raise ConfigError(f"tracking=wandb: wandb is not installed; {install_extra('wandb')}")

    def start(
        self,
        *,
        run_name: str,
        run_dir: Path | None,
        resume_run_id: str | None = None,
        base_dir: Path | None = None,
        hides_times: bool = False,
    ) -> ReadableTracker:
        """Return a tracker of the run in `run_dir`; see `MlflowTracking.start`.

        Raises:
          ConfigError: the library is not installed, or its server refuses the run.
        """
        if run_dir is None:
            return NullTracker()
        self.check()
        from ecgexp.tracking.provenance import system_tags
        from ecgexp.tracking.wandb.tracker import WandbTracker

        local = JsonlTracker(run_dir)
        try:
            remote = WandbTracker(self._run(run_name, run_dir), hides_times=hides_times)
        except BaseException:
            local.forget()
            raise
        return _started(local, remote, run_name, system_tags())

    def _run(self, run_name: str, run_dir: Path) -> "Run":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # before the first import
        import wandb

        try:
            return wandb.init(
                project=self.project,
                entity=self.entity,
                name=run_name,
                dir=str(run_dir),
                reinit="create_new",  # runs of one process do not mix
                settings=wandb.Settings(
                    mode=self.mode,
                    console="off",
                    silent=True,
                    host="",
                    disable_code=True,
                    disable_git=True,
                    disable_job_creation=True,
                    save_code=False,
                    x_disable_machine_info=True,
                    x_disable_meta=True,
                    x_disable_stats=True,
                    x_save_requirements=False,
                ),
            )
        except wandb.Error as error:
            raise ConfigError(
                f"tracking.mode={self.mode}: Weights & Biases refuses the run: "
                f"{redact(str(error))}; use `wandb login`, or tracking.mode=offline"
            ) from error


def _started(
    local: JsonlTracker, remote: Tracker, run_name: str, tags: dict[str, str]
) -> MirroredTracker:
    tracker = MirroredTracker(local, [remote])
    tracker.set_tags({"mlflow.runName": run_name, **tags})
    return tracker
