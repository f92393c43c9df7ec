targetScope = 'subscription'

metadata name = 'opswatch'
metadata description = 'A Flex Consumption function app that watches ARM operations to their end and calls back.'

// Where it runs

@minLength(1)
@maxLength(32)
@description('Name of the azd environment; every resource name derives from it.')
param environmentName string

@minLength(1)
@description('Region; it must offer Flex Consumption (az functionapp list-flexconsumption-locations).')
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@allowed([
  '3.11'
  '3.12'
  '3.13'
])
@description('Python version of the function app.')
param pythonVersion string = '3.13'

@allowed([
  512
  2048
  4096
])
@description('Memory of one instance, in MB. Polling waits for the network, so the smallest is enough to begin with.')
param instanceMemoryMB int = 512

@minValue(40)
@maxValue(1000)
@description('Most instances of each function group. The queue scaler counts delayed messages too, so this cap is what bounds the bill.')
param maximumInstanceCount int = 40

@description('Spread plan and storage over the availability zones of the region.')
param zoneRedundant bool = false

@description('Put storage and vault behind private endpoints and the app into a virtual network.')
param privateNetworking bool = false

@description('Address space of that network: a /24, of which the app gets the lower and the endpoints the upper half.')
param networkAddressPrefix string = '10.41.0.0/24'

// What it may read

@description('Comma-separated subscriptions whose operations are watched. Empty: the one deployed to.')
param watchedSubscriptionIds string = ''

@description('Comma-separated read actions for operations of other providers, for instance Microsoft.Compute/locations/operations/read. Whatever is no single read action is left out.')
param additionalReadActions string = ''

// Who is told, and who may use it

@description('E-mail address that receives the alerts. Empty: alerts fire, and nobody is told.')
param alertEmail string = ''

@description('Object id of the operators who may post operations, read results and store the callback secrets. Empty: nobody but the app.')
param operatorPrincipalId string = ''

@allowed([
  'Group'
  'ServicePrincipal'
  'User'
])
@description('What that object id stands for.')
param operatorPrincipalType string = 'Group'

// Telemetry

@minValue(30)
@maxValue(730)
@description('Days that logs are kept. The first 30 are free of charge.')
param logRetentionDays int = 30

@minValue(1)
@description('Gigabytes of telemetry a day after which the workspace stops taking more, as a bound on the bill.')
param logDailyCapGb int = 5

@description('Share of traces that is kept, between 0 and 1. Metrics and logs are always kept.')
param traceSamplingRatio string = '1.0'

// Secrets

@description('Set once the secret callback-secrets is in the vault; until then callbacks wait and the log says so.')
param callbackSecretsStored bool = false

@description('Recover a vault of the same name that was deleted and cannot be purged yet.')
param recoverKeyVault bool = false

// Settings of the app; README explains them. Empty: the default.

@description('OPSWATCH_SUBSCRIPTION_ID')
param defaultSubscriptionId string = ''

@description('OPSWATCH_LOCATION')
param defaultLocation string = ''

@description('OPSWATCH_PROVIDER')
param defaultProvider string = ''

@description('OPSWATCH_API_VERSION')
param defaultApiVersion string = ''

@description('OPSWATCH_CALLBACK_URL')
param callbackUrl string = ''

@description('OPSWATCH_CALLBACK_HOSTS')
param callbackHosts string = ''

@description('OPSWATCH_CALLBACK_NETWORKS')
param callbackNetworks string = ''

@description('OPSWATCH_CALLBACK_SCHEDULE')
param callbackSchedule string = ''

@description('OPSWATCH_CALLBACK_RESULT')
param callbackResult string = ''

@description('OPSWATCH_TIMEOUT')
param timeout string = ''

@description('OPSWATCH_POLL_MIN')
param pollMin string = ''

@description('OPSWATCH_POLL_MAX')
param pollMax string = ''

@description('OPSWATCH_POLL_COST')
param pollCost string = ''

@description('OPSWATCH_MISS_GRACE')
param missGrace string = ''

@description('OPSWATCH_RETENTION')
param retention string = ''

var abbrs = loadJsonContent('./abbreviations.json')
var resourceToken = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}
var clouds = {
  AzureCloud: 'public'
  AzureUSGovernment: 'usgov'
  AzureChinaCloud: 'china'
}
var watched = empty(watchedSubscriptionIds)
  ? [subscription().subscriptionId]
  : split(replace(watchedSubscriptionIds, ' ', ''), ',')
var storageAccountName = '${abbrs.storageStorageAccounts}${resourceToken}'
var keyVaultName = '${abbrs.keyVaultVaults}${resourceToken}'

var settings = {
  OPSWATCH_CLOUD: clouds[environment().name]
  OPSWATCH_SUBSCRIPTION_ID: defaultSubscriptionId
  OPSWATCH_LOCATION: defaultLocation
  OPSWATCH_PROVIDER: defaultProvider
  OPSWATCH_API_VERSION: defaultApiVersion
  OPSWATCH_CALLBACK_URL: callbackUrl
  OPSWATCH_CALLBACK_HOSTS: callbackHosts
  OPSWATCH_CALLBACK_NETWORKS: callbackNetworks
  OPSWATCH_CALLBACK_SCHEDULE: callbackSchedule
  OPSWATCH_CALLBACK_RESULT: callbackResult
  OPSWATCH_TIMEOUT: timeout
  OPSWATCH_POLL_MIN: pollMin
  OPSWATCH_POLL_MAX: pollMax
  OPSWATCH_POLL_COST: pollCost
  OPSWATCH_MISS_GRACE: missGrace
  OPSWATCH_RETENTION: retention
}
// An empty one is left out, so that the app's own default holds.
var givenSettings = toObject(
  filter(items(settings), setting => !empty(setting.value)),
  setting => setting.key,
  setting => setting.value
)

resource rg 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: '${abbrs.resourcesResourceGroups}${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: rg
  params: {
    name: '${abbrs.managedIdentityUserAssignedIdentities}${resourceToken}'
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: rg
  params: {
    workspaceName: '${abbrs.operationalInsightsWorkspaces}${resourceToken}'
    componentName: '${abbrs.insightsComponents}${resourceToken}'
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: rg
  params: {
    name: storageAccountName
    location: location
    tags: tags
    zoneRedundant: zoneRedundant
    privateNetworking: privateNetworking
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  scope: rg
  params: {
    name: keyVaultName
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    privateNetworking: privateNetworking
    recover: recoverKeyVault
  }
}

module network 'modules/network.bicep' = if (privateNetworking) {
  name: 'network'
  scope: rg
  params: {
    name: '${abbrs.networkVirtualNetworks}${resourceToken}'
    location: location
    tags: tags
    addressPrefix: networkAddressPrefix
    appSubnetPrefix: cidrSubnet(networkAddressPrefix, 25, 0)
    endpointSubnetPrefix: cidrSubnet(networkAddressPrefix, 25, 1)
    storageAccountId: storage.outputs.id
    keyVaultId: vault.outputs.id
  }
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: rg
  params: {
    storageAccountName: storage.outputs.name
    keyVaultName: vault.outputs.name
    componentName: monitoring.outputs.componentName
    identityPrincipalId: identity.outputs.principalId
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
  }
}

module app 'modules/function-app.bicep' = {
  name: 'function-app'
  scope: rg
  params: {
    name: '${abbrs.webSitesFunctions}${resourceToken}'
    planName: '${abbrs.webServerFarms}${resourceToken}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageAccountName: storage.outputs.name
    deploymentContainerName: storage.outputs.deploymentContainerName
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    zoneRedundant: zoneRedundant
    traceSamplingRatio: traceSamplingRatio
    settings: union(givenSettings, callbackSecretsStored ? {
      OPSWATCH_CALLBACK_SECRETS: vault.outputs.callbackSecretsReference
    } : {})
  }
  // The host reaches for its storage as it starts, so its rights come first.
  dependsOn: [
    roles
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: rg
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    alertEmail: alertEmail
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: rg
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

// One deployment for each watched subscription: the role is defined and assigned there.
module operationReader 'modules/operation-reader.bicep' = [
  for id in watched: {
    name: 'operation-reader-${uniqueString(id, resourceToken)}'
    scope: subscription(id)
    params: {
      instanceName: '${environmentName}-${resourceToken}'
      principalId: identity.outputs.principalId
      additionalReadActions: additionalReadActions
    }
  }
]

output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = rg.name
output AZURE_FUNCTION_NAME string = app.outputs.name
output AZURE_KEY_VAULT_NAME string = vault.outputs.name
output OPSWATCH_STORAGE_ACCOUNT string = storage.outputs.name
output OPSWATCH_URL string = app.outputs.uri
