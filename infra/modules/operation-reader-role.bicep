// A role that can read the status of operations and nothing else; no built-in role is this narrow. An administrator can
// deploy this file alone (see infra/README.md), so that other deployments only assign the role.
targetScope = 'subscription'

@description('Part of the role\'s display name, which must be unique in the tenant.')
param instanceName string

@description('Read actions of other providers. ARM refuses the whole role if a provider does not have one of them.')
param additionalReadActions string[] = []

@description('Subscriptions in which the role can be assigned, as /subscriptions/ID.')
param assignableScopes string[] = [subscription().id]

@description('The name of the role, a GUID.')
param name string = guid(subscription().id, 'opswatch-operation-reader', instanceName)

var ownReadActions = [
  'Microsoft.Cache/locations/operationsStatus/read'
  'Microsoft.Cache/locations/asyncOperations/read'
  'Microsoft.Cache/locations/operationResults/read'
  'Microsoft.Cache/redisEnterprise/operationResults/read'
  'Microsoft.Cache/redisEnterprise/databases/operationResults/read'
  'Microsoft.Cache/redisEnterprise/privateEndpointConnectionProxies/operationResults/read'
  'Microsoft.Resources/subscriptions/operationresults/read'
]
// Wildcards and writes are left out, because the role would allow more than its description says. Duplicates are left
// out too, in any case.
var moreReadActions = filter(
  additionalReadActions,
  action =>
    endsWith(toLower(action), '/read') && !contains(action, '*') && !contains(
      map(ownReadActions, own => toLower(own)),
      toLower(action)
    )
)

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: name
  properties: {
    roleName: 'opswatch operation reader (${instanceName}, ${subscription().subscriptionId})'
    description: 'Read the status of long-running operations; nothing else.'
    type: 'CustomRole'
    permissions: [
      {
        actions: concat(ownReadActions, moreReadActions)
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: assignableScopes
  }
}

@description('The value of OPSWATCH_READER_ROLE_ID.')
output id string = role.id
