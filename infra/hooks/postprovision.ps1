# Runs after `azd provision` on Windows: stores a callback secret if the vault has none, and has the app read it. A
# second run changes nothing. postprovision.sh does the same elsewhere and explains the steps; the tests compare both.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false

$Secret = 'callback-secrets'
$Setting = 'OPSWATCH_CALLBACK_SECRETS'
$Vault = $env:AZURE_KEY_VAULT_NAME
$Group = "/subscriptions/$env:AZURE_SUBSCRIPTION_ID/resourceGroups/$env:AZURE_RESOURCE_GROUP"
$References = "$Group/providers/Microsoft.Web/sites/$env:AZURE_FUNCTION_NAME/config/configreferences/appsettings"
$Patience = 300 # seconds for a new role assignment to take effect
$Pause = 10
$Waited = 0
$Answer = ''

# Prints what is left to do, and ends.
function Stop-Hook([string] $Reason, [string] $Advice) {
  Write-Output "No callback secret was stored: $Reason"
  Write-Output "Until there is one, callbacks wait; everything else works. $Advice"
  exit 0
}

# Runs az on the subscription that was deployed to; $Answer is its output, or its error if it failed.
function Test-Az([string[]] $Arguments) {
  $ErrorActionPreference = 'Continue' # text on stderr is no exception
  $Everything = & az @Arguments --subscription $env:AZURE_SUBSCRIPTION_ID --output tsv --only-show-errors 2>&1
  $Failed = $LASTEXITCODE -ne 0
  $Lines = $Everything | Where-Object { ($_ -is [System.Management.Automation.ErrorRecord]) -eq $Failed }
  $script:Answer = ($Lines | ForEach-Object { "$_" }) -join "`n"
  return -not $Failed
}

function Test-Wait {
  if ($script:Waited -ge $Patience) { return $false }
  Start-Sleep -Seconds $Pause
  $script:Waited += $Pause
  return $true
}

# Whether the signed-in identity is an operator: then its role takes effect sooner or later.
function Test-Operator {
  if (-not $env:OPSWATCH_OPERATOR_ID) { return $true }
  $Me = & az ad signed-in-user show --query id --output tsv --only-show-errors 2>$null
  if ($LASTEXITCODE -ne 0) { $Me = $env:AZURE_PRINCIPAL_ID }
  if ($Me -eq $env:OPSWATCH_OPERATOR_ID) { return $true }
  if (-not $Me) { return $false }
  $Member = & az ad group member check --group $env:OPSWATCH_OPERATOR_ID --member-id $Me `
    --query value --output tsv --only-show-errors 2>$null
  return "$Member" -eq 'true'
}

# Whether the app could resolve the reference to the secret.
function Test-Resolved {
  $Url = "$References/${Setting}?api-version=2022-03-01"
  return (Test-Az @('rest', '--method', 'get', '--url', $Url, '--query', 'properties.status')) -and
    ($Answer -eq 'Resolved')
}

if ($env:OPSWATCH_PAGE) {
  Write-Output "After 'azd deploy' the page is at $env:OPSWATCH_PAGE"
  Write-Output "It asks for a key: see 'The page and its keys' in infra/README.md."
}
$Again = 'Then run: azd hooks run postprovision'
$Inside = "From a machine in its network, follow 'The callback secret' in infra/README.md."
if (-not (Get-Command az -ErrorAction SilentlyContinue)) {
  Stop-Hook 'the Azure CLI (az) is not installed.' "Install it and run: az login. $Again"
}
if (-not (Test-Az @('account', 'show', '--query', 'id'))) { Stop-Hook 'az is not signed in.' "Run: az login. $Again" }
if (-not (Test-Az @('keyvault', 'show', '--name', $Vault, '--query', 'properties.publicNetworkAccess'))) {
  Stop-Hook $Answer $Again
}
if ($Answer -eq 'Disabled') { Stop-Hook "the vault $Vault has a private endpoint only." $Inside }

# 1. Store a secret if there is none. The vault answers 403 until the role takes effect.
$CanWait = $false
while (-not (Test-Az @('keyvault', 'secret', 'show', '--vault-name', $Vault, '--name', $Secret, '--query', 'id'))) {
  if ($Answer -match 'SecretNotFound') {
    $Bytes = [System.Security.Cryptography.RandomNumberGenerator]::GetBytes(32)
    $File = [System.IO.Path]::GetTempFileName() # for this user only
    try {
      [System.IO.File]::WriteAllText($File, 'whsec_' + [Convert]::ToBase64String($Bytes))
      $Arguments = @('keyvault', 'secret', 'set', '--vault-name', $Vault, '--name', $Secret, '--file', $File, '--query', 'id')
      if (Test-Az $Arguments) { break }
    }
    finally { Remove-Item $File }
  }
  if ($Answer -match 'ForbiddenByFirewall|ForbiddenByConnection') {
    Stop-Hook "the vault $Vault refuses this network." $Inside
  }
  if ($Answer -notmatch 'ForbiddenByRbac|not authorized to perform action') { Stop-Hook $Answer $Again }
  if (-not $CanWait) {
    if (-not (Test-Operator)) {
      Stop-Hook "only operators ($env:OPSWATCH_OPERATOR_ID) may store secrets in $Vault." `
        'One of them runs: azd hooks run postprovision'
    }
    $CanWait = $true
    Write-Output "Waiting for the role on the vault $Vault to take effect..."
  }
  if (-not (Test-Wait)) {
    Stop-Hook "the role on the vault $Vault has not taken effect after $Patience s." $Again
  }
}
Write-Output "The callback secret is in $Answer"
Write-Output "Receivers need its value: az keyvault secret show --vault-name $Vault --name $Secret --query value"

# 2. Have the app read it. Azure caches references for 24 hours, and a restart alone does not renew them.
if (Test-Resolved) {
  Write-Output 'The app reads it.'
  exit 0
}
$Waited = 0
$Refresh = @('rest', '--method', 'post', '--url', "$References/refresh?api-version=2022-03-01")
while (-not ((Test-Az $Refresh) -and (Test-Resolved))) {
  if (-not (Test-Wait)) {
    Write-Output "The app cannot read it yet: $Answer"
    Write-Output 'Until it can, callbacks wait. Later, run again: azd hooks run postprovision'
    exit 0
  }
}
$Restart = @('functionapp', 'restart', '--resource-group', $env:AZURE_RESOURCE_GROUP, '--name', $env:AZURE_FUNCTION_NAME)
if (-not (Test-Az $Restart)) {
  Write-Output "The app was not restarted, so it reads the secret with its next start: $Answer"
}
Write-Output 'The app reads it from now on.'
