"""`ecgexp`: composes the configuration from the command line and runs the experiment."""

import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ecgexp._validate import ConfigError, DataError

if TYPE_CHECKING:
    from ecgexp.experiment import Experiment

_BAD_CONFIG, _BAD_DATA = 2, 1


def main() -> None:
    """Entry point of the console script; exits with 2 for a configuration, with 1 for data, that cannot be used."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # we say in one line what Hydra would say in ten
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets every start with errors that are none
    # SIGTERM is a queue's way to stop a run: it ends as KILLED and is not left RUNNING.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _compose_and_run()
    except (HydraException, OmegaConfBaseException) as error:
        from ecgexp.config import explain

        _fail(explain(error, sys.argv[1:]))
    except (ConfigError, DataError) as error:
        _fail(error)
    except OSError as error:  # a full disk, a read-only folder
        advice = "choose a writable folder with hydra.run.dir=… and tracking.uri=…, or free some space"
        _fail(OSError(f"{error}; {advice}"))
    except KeyboardInterrupt:
        sys.exit(130)


@hydra.main(config_path="pkg://conf", config_name="config", version_base="1.3")
def _compose_and_run(config: DictConfig) -> float | None:
    from ecgexp.config import for_the_record, to_yaml
    from ecgexp.experiment import run

    run_dir = Path(HydraConfig.get().runtime.output_dir)
    logging.captureWarnings(True)
    try:
        experiment = _built(config, run_dir)
        values = for_the_record(config)
        result = run(experiment, run_dir, config=values, resolved_yaml=to_yaml(values))
    except (ConfigError, DataError) as error:
        if HydraConfig.get().mode is not RunMode.RUN:
            raise  # Hydra then names the job of the sweep
        _fail(error)
    return result.metrics.get(f"validation/{experiment.selection.metric}")


def _built(config: DictConfig, run_dir: Path) -> "Experiment":
    """The experiment; a configuration that is refused leaves no folder behind."""
    from ecgexp.config import build_experiment

    try:
        return build_experiment(config)
    except ConfigError:
        _discard(run_dir)
        raise


def _discard(run_dir: Path) -> None:
    """Removes the folder of a run that never began; anything but Hydra's own notes in it is kept."""
    if all(path.name in (".hydra", "ecgexp.log") for path in run_dir.iterdir()):
        logging.shutdown()
        shutil.rmtree(run_dir)


def _fail(error: Exception) -> NoReturn:
    print(f"ecgexp: {error}", file=sys.stderr)
    sys.exit(_BAD_CONFIG if isinstance(error, ConfigError) else _BAD_DATA)


if __name__ == "__main__":
    main()
