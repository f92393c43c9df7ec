#!/usr/bin/env bash
# Posts an operation to opswatch. MEMBERS are further members of the message, as JSON.
#
#   ./post.sh URL
#   ./post.sh URL '"callbackUrl": "https://example.com/hook", "clientState": {"ticket": 42}'
#
# With OPSWATCH_URL (https://func-….azurewebsites.net) it posts over HTTP, and OPSWATCH_KEY is the key of the function
# `write`; it prints the URL that wait.sh follows. With OPSWATCH_ACCOUNT it sends a message to the queue of that storage
# account, with the rights of `az login` (Storage Queue Data Message Sender), and prints nothing. Either may be repeated.
set -euo pipefail

operation=$1 members=${2:-}
case $operation in
*[\"\\]*)
    echo "An operation contains neither quotes nor backslashes" >&2
    exit 2
    ;;
esac
message="{\"operation\": \"$operation\"${members:+, $members}}"

if [ -n "${OPSWATCH_URL:-}" ]; then
    # The key comes from a file, because everybody on the machine can read the arguments of a process.
    curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --max-time 30 \
        --header @<(printf 'x-functions-key: %s' "${OPSWATCH_KEY:-}") --header 'content-type: application/json' \
        --data "$message" --dump-header - --output /dev/null "$OPSWATCH_URL/api/operations" |
        tr -d '\r' |
        awk 'tolower($1) == "operation-location:" { print $2 } tolower($1) == "x-ms-error-code:" { print $2 >"/dev/stderr" }'
else
    az storage message put --queue-name operations --account-name "${OPSWATCH_ACCOUNT:?or OPSWATCH_URL}" \
        --auth-mode login --time-to-live -1 --content "$message" --output none
fi
