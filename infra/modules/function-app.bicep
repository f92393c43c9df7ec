// The function app on Flex Consumption. It reaches storage, vault and telemetry as its user-assigned identity.

param name string
param planName string
param location string
param tags object
param identityId string
param identityClientId string
param storageAccountName string
param deploymentContainerName string
param applicationInsightsConnectionString string
param subnetId string
param pythonVersion string
param instanceMemoryMB int
param maximumInstanceCount int
param alwaysReadyCount int
param zoneRedundant bool
param tracesPerSecond string
param traceSamplingRatio string
param settings object

var platformSettings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__blobServiceUri: account.properties.primaryEndpoints.blob
  AzureWebJobsStorage__queueServiceUri: account.properties.primaryEndpoints.queue
  AzureWebJobsStorage__tableServiceUri: account.properties.primaryEndpoints.table
  AZURE_CLIENT_ID: identityClientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  // For azure-identity: outside the public cloud its default would be the wrong authority.
  AZURE_AUTHORITY_HOST: environment().authentication.loginEndpoint
  // The workers of Python 3.11 and 3.12 read the first name, later workers the second.
  PYTHON_ENABLE_OPENTELEMETRY: 'true'
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
  // Without it the worker also sends the Azure SDKs' log: several lines for each request.
  PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME: 'opswatch'
  OTEL_TRACES_SAMPLER: empty(traceSamplingRatio) ? 'microsoft.rate_limited' : 'microsoft.fixed_percentage'
  OTEL_TRACES_SAMPLER_ARG: empty(traceSamplingRatio) ? tracesPerSecond : traceSamplingRatio
}

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageAccountName
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource site 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  kind: 'functionapp,linux'
  tags: union(tags, {
    'azd-service-name': 'opswatch'
  })
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${account.properties.primaryEndpoints.blob}${deploymentContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        // For the function that polls: no cold start between sparse polls.
        alwaysReady: alwaysReadyCount == 0
          ? []
          : [
              {
                name: 'function:operations'
                instanceCount: alwaysReadyCount
              }
            ]
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
    }
    // No ftpsState: Flex Consumption has no FTP and refuses the property.
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      remoteDebuggingEnabled: false
      // No other origin may read an answer: the page of the app is at the app's own.
      cors: {
        allowedOrigins: []
        supportCredentials: false
      }
    }
  }
}

// These three wait for each other: a new site answers 409 to two changes at once.

resource appSettings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: site
  name: 'appsettings'
  properties: union(settings, platformSettings)
}

resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: site
  name: 'ftp'
  properties: {
    allow: false
  }
  dependsOn: [
    appSettings
  ]
}

resource scm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: site
  name: 'scm'
  properties: {
    allow: false
  }
  dependsOn: [
    ftp
  ]
}

output uri string = 'https://${site.properties.defaultHostName}'
