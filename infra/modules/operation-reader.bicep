// Lets the app read the status of operations in one subscription, by a role made here or by an existing role.
targetScope = 'subscription'

param instanceName string
param principalId string
param additionalReadActions string[]

@description('Resource id of an existing role that can be assigned here. Empty: this module creates one.')
param existingRoleId string

var ownRoleName = guid(subscription().id, 'opswatch-operation-reader', instanceName)
// A role has the same name in each of its assignable scopes, so the id can be written for this subscription.
var roleId = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  empty(existingRoleId) ? ownRoleName : last(split(existingRoleId, '/'))
)

module definition 'operation-reader-role.bicep' = if (empty(existingRoleId)) {
  name: 'operation-reader-role-${uniqueString(ownRoleName)}'
  params: {
    instanceName: instanceName
    name: ownRoleName
    additionalReadActions: additionalReadActions
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscription().id, principalId, roleId)
  properties: {
    roleDefinitionId: roleId
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
  dependsOn: [
    definition
  ]
}
