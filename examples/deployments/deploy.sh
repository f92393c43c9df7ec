#!/usr/bin/env bash
# Starts a deployment of main.bicep in a resource group, and hands it to opswatch.
#
#   ./deploy.sh GROUP [CALLBACK_URL]
#
# opswatch must be allowed to read the status of deployments:
#   azd env set OPSWATCH_READ_ACTIONS Microsoft.Resources/deployments/operationStatuses/read && azd provision
# ../bash/post.sh says what OPSWATCH_URL, OPSWATCH_KEY and OPSWATCH_ACCOUNT are.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

group=$1 callback=${2:-}
name="main-$(date -u +%Y%m%d%H%M%S)"
url=$("$here/../bash/start.sh" deployment group create --name "$name" --resource-group "$group" \
    --template-file "$here/main.bicep" --no-wait)
# The kind lets opswatch learn how long this deployment takes: give each template another name.
"$here/../bash/post.sh" "$url" "\"kind\": \"deployments/main\", \"clientState\": {\"deployment\": \"$name\"}${callback:+, \"callbackUrl\": \"$callback\"}"
