#!/usr/bin/env bash
# Starts a long-running operation with az, and prints its status URL.
#
#   ./start.sh redisenterprise create --cluster-name cache --resource-group group --location westus \
#       --sku Balanced_B5 --no-wait
#   ./start.sh rest --method delete --url "https://management.azure.com/…/redisEnterprise/cache?api-version=2024-10-01"
#
# az prints the headers of ARM's answers with --debug only. The first Azure-AsyncOperation is the operation's, or else
# the first Location. The log is deleted: it contains the request.
set -euo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! az "$@" --debug >/dev/null 2>"$log"; then
    grep '^ERROR' "$log" >&2 || tail -n 20 "$log" >&2
    exit 1
fi
url=$(grep -im 1 "'azure-asyncoperation': 'https\{0,1\}://" "$log" || grep -im 1 "'location': 'https\{0,1\}://" "$log" || true)
if [ -z "$url" ]; then
    echo "ARM answered without a status URL: the operation has ended, or az has waited for it (--no-wait)" >&2
    exit 1
fi
printf '%s\n' "$url" | cut -d "'" -f 4
