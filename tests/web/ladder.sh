#!/usr/bin/env bash
# azure-core's pollers, from the oldest supported version to the newest, in environments that are
# thrown away. Needs the package index.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${1:-.venv/bin/python}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pythons=()
for version in '==1.32.0' '==1.38.0' '>=1.41'; do
  environment="$folder/azure-core$version"
  "$python" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    "azure-core$version" aiohttp
  pythons+=("$environment/bin/python")
done
"$python" -m tests.web.pollers "${pythons[@]}"
