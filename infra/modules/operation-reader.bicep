// The right to read the status of operations in one subscription, and nothing else. No built-in role is this narrow.
targetScope = 'subscription'

param instanceName string
param principalId string
param additionalReadActions string

var cacheReadActions = [
  'Microsoft.Cache/locations/operationsStatus/read'
  'Microsoft.Cache/locations/asyncOperations/read'
  'Microsoft.Cache/locations/operationResults/read'
]
// One exact read action each; a wildcard or a write would make this role more than it says.
var moreReadActions = filter(
  split(replace(additionalReadActions, ' ', ''), ','),
  action => endsWith(action, '/read') && !contains(action, '*')
)

// The display name of a custom role must be unique in its tenant, hence instance and subscription in it.
resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'opswatch-operation-reader', instanceName)
  properties: {
    roleName: 'opswatch operation reader (${instanceName}, ${subscription().subscriptionId})'
    description: 'Read the status of long-running operations; nothing else.'
    type: 'CustomRole'
    permissions: [
      {
        actions: union(cacheReadActions, moreReadActions)
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: [
      subscription().id
    ]
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscription().id, principalId, role.id)
  properties: {
    roleDefinitionId: role.id
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
