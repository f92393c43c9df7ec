#!/usr/bin/env bash
# azure-core, from the oldest supported version to the newest, in environments that are thrown away:
# its pollers against the HTTP API, and the client as the polling method of real begin_ methods.
# Needs the package index.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${1:-.venv/bin/python}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pythons=()
for version in '==1.32.0' '==1.37.0' '==1.38.0' '>=1.41'; do
  environment="$folder/azure-core$version"
  "$python" -m venv "$environment"
  # What the client imports, without what the app needs.
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    "azure-core$version" aiohttp azure-data-tables azure-mgmt-redisenterprise azure-storage-queue \
    isodate msgspec
  pythons+=("$environment/bin/python")
done
"$python" -m tests.web.pollers "${pythons[@]}"
"$python" -m tests.client.ladder "${pythons[@]}"
