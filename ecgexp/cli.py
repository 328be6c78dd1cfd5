"""`ecgexp`: composes the configuration from the command line and runs the experiment."""

import logging
import os
import shutil
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ecgexp._validate import ConfigError, DataError

_BAD_CONFIG, _BAD_DATA = 2, 1


def main() -> None:
    """Entry point of the console script; exits with 2 for a configuration, with 1 for data, that cannot be used."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # we say in one line what Hydra would say in ten
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets every start with errors that are none
    try:
        _compose_and_run()
    except (HydraException, OmegaConfBaseException) as error:
        from ecgexp.config import explain

        _fail(explain(error, sys.argv[1:]), _BAD_CONFIG)
    except ConfigError as error:
        _fail(error, _BAD_CONFIG)
    except DataError as error:
        _fail(error, _BAD_DATA)
    except OSError as error:  # a full disk, a read-only folder
        _fail(
            OSError(f"{error}; choose a writable folder with hydra.run.dir=… and tracking.uri=…, or free some space"),
            _BAD_DATA,
        )
    except KeyboardInterrupt:
        sys.exit(130)


@hydra.main(config_path="pkg://conf", config_name="config", version_base="1.3")
def _compose_and_run(config: DictConfig) -> float | None:
    from ecgexp.config import build_experiment, plain, to_yaml
    from ecgexp.experiment import run

    run_dir = Path(HydraConfig.get().runtime.output_dir)
    try:
        experiment = build_experiment(config)
    except ConfigError:
        _discard(run_dir)
        raise
    logging.captureWarnings(True)
    result = run(experiment, run_dir, config=plain(config, resolve=False), resolved_yaml=to_yaml(config))
    return result.metrics.get(f"validation/{experiment.selection.metric}")


def _discard(run_dir: Path) -> None:
    """A configuration that was refused leaves no folder behind; anything but Hydra's own notes in it is kept."""
    if all(path.name in (".hydra", "ecgexp.log") for path in run_dir.iterdir()):
        logging.shutdown()
        shutil.rmtree(run_dir)


def _fail(error: Exception, code: int) -> None:
    print(f"ecgexp: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
