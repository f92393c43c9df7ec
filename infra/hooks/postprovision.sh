#!/bin/sh
# Runs after `azd provision`: stores a callback secret if the vault has none, and has the app read it. A second run
# changes nothing. postprovision.ps1 does the same on Windows. The secret itself is never printed.
#
# A failure here does not fail the deployment: without a secret callbacks wait, and everything else works.
set -eu

secret=callback-secrets
setting=OPSWATCH_CALLBACK_SECRETS
vault=$AZURE_KEY_VAULT_NAME
site="/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/$AZURE_RESOURCE_GROUP/providers/Microsoft.Web/sites/$AZURE_FUNCTION_NAME"
references="$site/config/configreferences/appsettings"
patience=300 # seconds for a new role assignment to take effect
pause=10
waited=0
umask 077
file=$(mktemp)
errors=$(mktemp)
trap 'rm -f "$file" "$errors"' EXIT

# Prints what is left to do, and ends.
give_up() {
  echo "No callback secret was stored: $1"
  echo "Until there is one, callbacks wait; everything else works. $2"
  exit 0
}

# Runs az on the subscription that was deployed to; `answer` is its output, or its error if it failed.
ask() {
  answer=$(az "$@" --subscription "$AZURE_SUBSCRIPTION_ID" --output tsv --only-show-errors 2>"$errors") && return
  answer=$(cat "$errors")
  return 1
}

wait_a_little() {
  [ "$waited" -lt "$patience" ] || return 1
  sleep "$pause"
  waited=$((waited + pause))
}

# Whether the signed-in identity is an operator: then its role takes effect sooner or later.
is_operator() {
  [ -n "${OPSWATCH_OPERATOR_ID:-}" ] || return 0
  me=$(az ad signed-in-user show --query id --output tsv --only-show-errors 2>/dev/null) || me=${AZURE_PRINCIPAL_ID:-}
  [ "$me" != "$OPSWATCH_OPERATOR_ID" ] || return 0
  [ -n "$me" ] && [ "$(az ad group member check --group "$OPSWATCH_OPERATOR_ID" --member-id "$me" \
    --query value --output tsv --only-show-errors 2>/dev/null)" = true ]
}

# Whether the app could resolve the reference to the secret.
is_resolved() {
  ask rest --method get --url "$references/$setting?api-version=2022-03-01" --query properties.status &&
    [ "$answer" = Resolved ]
}

if [ -n "${OPSWATCH_PAGE:-}" ]; then
  echo "After 'azd deploy' the page is at $OPSWATCH_PAGE"
  echo "It asks for a key: see 'The page and its keys' in infra/README.md."
fi
again='Then run: azd hooks run postprovision'
inside="From a machine in its network, follow 'The callback secret' in infra/README.md."
command -v az >/dev/null || give_up "the Azure CLI (az) is not installed." "Install it and run: az login. $again"
ask account show --query id || give_up "az is not signed in." "Run: az login. $again"
ask keyvault show --name "$vault" --query properties.publicNetworkAccess || give_up "$answer" "$again"
[ "$answer" != Disabled ] || give_up "the vault $vault has a private endpoint only." "$inside"

# 1. Store a secret if there is none. The vault answers 403 until the role takes effect.
can_wait=
until ask keyvault secret show --vault-name "$vault" --name "$secret" --query id; do
  case $answer in
    *SecretNotFound*)
      printf 'whsec_%s' "$(head -c 32 /dev/urandom | base64)" >"$file"
      ask keyvault secret set --vault-name "$vault" --name "$secret" --file "$file" --query id && break
      ;;
  esac
  case $answer in
    *ForbiddenByFirewall* | *ForbiddenByConnection*) give_up "the vault $vault refuses this network." "$inside" ;;
    *ForbiddenByRbac* | *'not authorized to perform action'*) ;;
    *) give_up "$answer" "$again" ;;
  esac
  if [ -z "$can_wait" ]; then
    is_operator || give_up "only operators ($OPSWATCH_OPERATOR_ID) may store secrets in $vault." \
      "One of them runs: azd hooks run postprovision"
    can_wait=yes
    echo "Waiting for the role on the vault $vault to take effect..."
  fi
  wait_a_little || give_up "the role on the vault $vault has not taken effect after $patience s." "$again"
done
echo "The callback secret is in $answer"
echo "Receivers need its value: az keyvault secret show --vault-name $vault --name $secret --query value"

# 2. Have the app read it. Azure caches references for 24 hours, and a restart alone does not renew them.
if is_resolved; then
  echo "The app reads it."
  exit 0
fi
waited=0
until ask rest --method post --url "$references/refresh?api-version=2022-03-01" && is_resolved; do
  if ! wait_a_little; then
    echo "The app cannot read it yet: $answer"
    echo "Until it can, callbacks wait. Later, run again: azd hooks run postprovision"
    exit 0
  fi
done
ask functionapp restart --resource-group "$AZURE_RESOURCE_GROUP" --name "$AZURE_FUNCTION_NAME" ||
  echo "The app was not restarted, so it reads the secret with its next start: $answer"
echo "The app reads it from now on."
