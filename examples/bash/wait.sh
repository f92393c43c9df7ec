#!/usr/bin/env bash
# Follows a posted operation to its end: the URL is what post.sh has printed over HTTP. OPSWATCH_KEY is the key of the
# function `read`. Prints the end, and the innermost error; exit code 0 if it succeeded, 1 if it failed, 3 if it was
# canceled or stopped, 6 if nothing can be read.
#
#   ./wait.sh "$(./post.sh "$url")"
#
# (`opswatch wait` does the same, and rides out more: pipx install 'opswatch[local]'.)
set -euo pipefail

while answer=$(curl --silent --show-error --fail --retry 5 --retry-connrefused --max-time 30 \
    --header @<(printf 'x-functions-key: %s' "${OPSWATCH_KEY:-}") "$1"); do
    status=$(jq --raw-output .status <<<"$answer")
    case $status in
    Succeeded | Failed | Canceled)
        jq --raw-output '[.properties.status, .properties.errorCodeInner // .error.code,
            .properties.errorMessageInner // .error.message] | map(values) | join(": ")' <<<"$answer"
        case $status in Succeeded) exit 0 ;; Failed) exit 1 ;; *) exit 3 ;; esac
        ;;
    esac
    sleep "${OPSWATCH_INTERVAL:-10}"
done
exit 6
