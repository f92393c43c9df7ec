targetScope = 'subscription'

metadata name = 'opswatch'
metadata description = 'A Flex Consumption function app that watches ARM operations to their end and calls back.'

// main.bicepparam sets these, with their defaults.

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
param pythonVersion string

@allowed([
  512
  2048
  4096
])
@description('Memory of one instance, in MB. Polls mostly wait for the network, so start with the smallest.')
param instanceMemoryMB int = 512

@minValue(1)
@maxValue(1000)
@description('Upper limit of instances for each queue or timer function, and for the HTTP functions together. It bounds the bill, because the queue scaler also counts delayed messages. Not every region accepts a limit below 40 yet.')
param maximumInstanceCount int

@minValue(0)
@maxValue(1)
@description('Always-ready instances of the function that polls. 1 avoids a cold start between sparse polls, and is billed all the time.')
param alwaysReadyCount int

@description('Spread plan and storage over the availability zones of the region. Azure then keeps two instances of each queue or timer function always ready, and two for the HTTP functions.')
param zoneRedundant bool

@description('Reach storage and vault through private endpoints, from a virtual network that the app joins.')
param privateNetworking bool

@description('Address space of that network, a /24: the lower half is for the app, the upper half for the endpoints.')
param networkAddressPrefix string

// What it watches

@description('Subscriptions whose operations are watched, each once. Empty: the one deployed to.')
param watchedSubscriptionIds string[]

@description('Read actions for operations of other providers, for example Microsoft.Compute/locations/operations/read. ARM refuses the whole role if a provider does not have an action, or if a status action cannot be part of a role.')
param additionalReadActions string[]

@description('Resource id of a role that an administrator created from modules/operation-reader-role.bicep. Empty: this template creates the roles.')
param readerRoleId string

// Alerts, operators and readers

@description('E-mail address that receives the alerts. Empty: alerts fire, but no e-mail is sent.')
param alertEmail string

@description('Object id of the operators: they may post, read, stop, deliver again, and store the callback secrets. Empty: the identity that deploys.')
param operatorPrincipalId string

@description('Type of the operators\' object id.')
param operatorPrincipalType principalType

@description('Object id of the readers: they may read the tables. Empty: only the app and the operators can.')
param readerPrincipalId string

@description('Type of the readers\' object id.')
param readerPrincipalType principalType

// Telemetry

@minValue(30)
@maxValue(730)
@description('Days that logs are kept. The first 30 are free.')
param logRetentionDays int = 30

@minValue(1)
@description('Gigabytes of telemetry a day after which the workspace drops the rest. It bounds the bill.')
param logDailyCapGb int = 5

@description('Traces that an instance keeps each second, unless a share is given.')
param tracesPerSecond string

@description('Share of traces to keep, between 0 and 1; empty: so many each second.')
param traceSamplingRatio string

@description('Recover the deleted vault of the same name instead of creating one.')
param recoverKeyVault bool

@description('Settings of the app, as README.md lists them. An empty one is left out, so the app uses its default.')
param settings appSettings

type principalType = 'Group' | 'ServicePrincipal' | 'User'

@sealed()
type appSettings = {
  OPSWATCH_SUBSCRIPTION_ID: string?
  OPSWATCH_LOCATION: string?
  OPSWATCH_PROVIDER: string?
  OPSWATCH_API_VERSION: string?
  OPSWATCH_CALLBACK_URL: string?
  OPSWATCH_CALLBACK_HOSTS: string?
  OPSWATCH_CALLBACK_NETWORKS: string?
  OPSWATCH_CALLBACK_SCHEDULE: string?
  OPSWATCH_CALLBACK_RESULT: string?
  OPSWATCH_TIMEOUT: string?
  OPSWATCH_POLL_MIN: string?
  OPSWATCH_POLL_MAX: string?
  OPSWATCH_POLL_COST: string?
  OPSWATCH_MISS_GRACE: string?
  OPSWATCH_RETENTION: string?
}

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
var watched = empty(watchedSubscriptionIds) ? [subscription().subscriptionId] : watchedSubscriptionIds
// Modules get names and not each other's outputs: a preview can only show resources whose names are known before the
// deployment. Outputs would also order the modules; without them the order is in `dependsOn`.
var applicationName = '${abbrs.webSitesFunctions}${resourceToken}'
var componentName = '${abbrs.insightsComponents}${resourceToken}'
var keyVaultName = '${abbrs.keyVaultVaults}${resourceToken}'
var storageAccountName = '${abbrs.storageStorageAccounts}${resourceToken}'

var isDeployerOperator = empty(operatorPrincipalId)
var deployerType = empty(deployer().userPrincipalName) ? 'ServicePrincipal' : 'User'

var ownSettings = {
  OPSWATCH_CLOUD: clouds[environment().name]
  // Without a version, so that a rotated secret needs no deployment. Azure caches the value for up to 24 hours.
  OPSWATCH_CALLBACK_SECRETS: '@Microsoft.KeyVault(SecretUri=https://${keyVaultName}${environment().suffixes.keyvaultDns}/secrets/callback-secrets)'
}
var givenSettings = toObject(
  filter(items(settings), setting => !empty(setting.?value)),
  setting => setting.key,
  setting => setting.?value
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
    componentName: componentName
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
    storageAccountName: storageAccountName
    keyVaultName: keyVaultName
  }
  dependsOn: [
    storage
    vault
  ]
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: rg
  params: {
    storageAccountName: storageAccountName
    keyVaultName: keyVaultName
    componentName: componentName
    // The preview cannot show these assignments, because their names contain the id of the principal. They must: Azure
    // cannot change the principal of an assignment, and an assignment survives the identity that it was made for. With
    // a fixed name, the next deployment after the identity was recreated would be refused.
    #disable-next-line what-if-short-circuiting
    identityPrincipalId: identity.outputs.principalId
    operatorPrincipalId: isDeployerOperator ? deployer().objectId : operatorPrincipalId
    operatorPrincipalType: isDeployerOperator ? deployerType : operatorPrincipalType
    readerPrincipalId: readerPrincipalId
    readerPrincipalType: readerPrincipalType
  }
  dependsOn: [
    monitoring
    storage
    vault
  ]
}

module app 'modules/function-app.bicep' = {
  name: 'function-app'
  scope: rg
  params: {
    name: applicationName
    planName: '${abbrs.webServerFarms}${resourceToken}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageAccountName: storageAccountName
    deploymentContainerName: storage.outputs.deploymentContainerName
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyCount: alwaysReadyCount
    zoneRedundant: zoneRedundant
    tracesPerSecond: tracesPerSecond
    traceSamplingRatio: traceSamplingRatio
    settings: union(givenSettings, ownSettings)
  }
  // The host opens its storage when it starts, so its roles come first.
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

// One deployment for each watched subscription, which assigns the role there.
module operationReader 'modules/operation-reader.bicep' = [
  for id in watched: {
    name: 'operation-reader-${uniqueString(id, resourceToken)}'
    scope: subscription(id)
    params: {
      instanceName: '${environmentName}-${resourceToken}'
      // The assignment's name contains the principal: see the roles above.
      #disable-next-line what-if-short-circuiting
      principalId: identity.outputs.principalId
      additionalReadActions: additionalReadActions
      existingRoleId: readerRoleId
    }
  }
]

output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = rg.name
output AZURE_FUNCTION_NAME string = applicationName
output AZURE_KEY_VAULT_NAME string = keyVaultName
output OPSWATCH_STORAGE_ACCOUNT string = storageAccountName
output OPSWATCH_URL string = app.outputs.uri
output OPSWATCH_PAGE string = '${app.outputs.uri}/api/dashboard'
