#requires -Version 7.2
#requires -Modules Az.Accounts
<#
.SYNOPSIS
Sends a request to ARM, and posts the operation that it starts to opswatch.

.DESCRIPTION
Needs `Connect-AzAccount`. OPSWATCH_URL is https://func-….azurewebsites.net, and OPSWATCH_KEY the key of the function
`write`. Returns the row of the watched operation; with -Wait, it returns when the operation has ended.

.EXAMPLE
./Watch-Operation.ps1 -Method DELETE -Path '/subscriptions/…/redisEnterprise/cache?api-version=2024-10-01' -Wait
#>
[CmdletBinding()]
param(
    [ValidateSet('PUT', 'PATCH', 'POST', 'DELETE')] [string] $Method = 'PUT',
    [Parameter(Mandatory)] [string] $Path,
    [string] $Payload,
    [uri] $CallbackUrl,
    [hashtable] $ClientState,
    [switch] $Wait
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$request = @{ Method = $Method; Path = $Path }
if ($Payload) { $request.Payload = $Payload }
$answer = Invoke-AzRestMethod @request
if ($answer.StatusCode -ge 400) { throw "ARM answered $($answer.StatusCode): $($answer.Content)" }

$operation = foreach ($name in 'Azure-AsyncOperation', 'Location') {
    $values = [string[]] @()
    if ($answer.Headers.TryGetValues($name, [ref] $values)) { $values[0]; break }
}
if (-not $operation) { throw "ARM answered $($answer.StatusCode) without a status URL: the operation has ended" }

$message = @{ operation = $operation }
if ($CallbackUrl) { $message.callbackUrl = $CallbackUrl.AbsoluteUri }
if ($ClientState) { $message.clientState = $ClientState }
$common = @{ Headers = @{ 'x-functions-key' = $env:OPSWATCH_KEY }; MaximumRetryCount = 5; RetryIntervalSec = 5 }
$headers = $null
$row = Invoke-RestMethod @common -Method Post -Uri "$($env:OPSWATCH_URL)/api/operations" `
    -ContentType 'application/json' -Body ($message | ConvertTo-Json -Depth 20) -ResponseHeadersVariable headers
if (-not $Wait) { return $row }

# The key of `read`, if OPSWATCH_KEY is that of `write` only
if ($env:OPSWATCH_READ_KEY) { $common.Headers = @{ 'x-functions-key' = $env:OPSWATCH_READ_KEY } }
do {
    Start-Sleep -Seconds 10
    $status = Invoke-RestMethod @common -Uri $headers['Operation-Location'][0]
} while ($status.status -notin 'Succeeded', 'Failed', 'Canceled')
$status.properties
