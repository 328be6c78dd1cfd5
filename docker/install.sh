#!/bin/sh
# Install ecgexp from its wheel into a new environment, with the locked versions of its dependencies.
# The Dockerfile runs it, and so do the tests, in whose environment the wheel is then tried.
#   docker/install.sh WHEEL LOCK ENVIRONMENT [EXTRA]
set -eu
wheel=$(realpath "$1") lock=$(realpath "$2") environment=$3 extra=${4:+[$4]}
cd /   # uv reads no settings of a checkout

uv venv --quiet --seed --python 3.11 "$environment"
uv pip install --quiet --python "$environment/bin/python" --requirements "$lock" "ecgexp$extra @ file://$wheel"
"$environment/bin/python" -m pip --disable-pip-version-check check
