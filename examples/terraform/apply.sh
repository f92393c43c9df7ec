#!/usr/bin/env bash
# Runs `terraform apply`, and posts each long-running operation that it starts to opswatch. Terraform waits as always.
# opswatch also knows the operations, so callbacks come and results are kept if the runner dies, or if Terraform gives
# up before ARM does.
#
#   OPSWATCH_MEMBERS='"callbackUrl": "https://example.com/hook"' ./apply.sh -auto-approve
#
# The providers azapi and azurerm write the headers of ARM's answers to the debug log. ../bash/post.sh says what
# OPSWATCH_URL, OPSWATCH_KEY and OPSWATCH_ACCOUNT are. The log is deleted: it contains requests.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

log=$(mktemp)
exec 3< <(exec tail -n +1 -f "$log")
following=$!
# azapi: "Azure-Asyncoperation":"https://…", with & as \u0026; azurerm: Azure-Asyncoperation: https://…
header='azure-asyncoperation"?: ?"?(https?://[^"[:space:]]+)'
(
    shopt -s nocasematch
    posted=" "
    while read -r line && [ "$line" != "END OF APPLY" ]; do
        [[ $line =~ $header ]] || continue
        url=${BASH_REMATCH[1]//\\u0026/"&"}
        [[ $posted != *" $url "* ]] || continue
        posted+="$url "
        "$here/../bash/post.sh" "$url" "${OPSWATCH_MEMBERS:-}" >/dev/null || echo "not posted: ${url%%\?*}" >&2
    done <&3
) &
posting=$!

code=0
TF_LOG_PROVIDER=DEBUG TF_LOG_PATH=$log terraform apply "$@" || code=$?
echo "END OF APPLY" >>"$log"
wait "$posting" || true
kill "$following"
rm -f "$log"
exit "$code"
