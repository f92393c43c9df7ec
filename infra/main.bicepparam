using './main.bicep'
import {
  entries
  given
  isBetween
  isBool
  isDecimal
  isGuid
  isNetwork
  isReadAction
  isRoleId
  isShare
} from './variables.bicep'

// The variables that azd passes on (`azd env set NAME VALUE`). An empty one counts as not set.

// Name of the azd environment, and the region
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME')
param location = readEnvironmentVariable('AZURE_LOCATION')

// Python of the app: 3.11, 3.12 or 3.13 (default)
var python = readEnvironmentVariable('OPSWATCH_PYTHON_VERSION', '')
param pythonVersion = empty(python)
  ? '3.13'
  : contains(['3.11', '3.12', '3.13'], python)
      ? python
      : fail('OPSWATCH_PYTHON_VERSION must be 3.11, 3.12 or 3.13, not "${python}"')

// Upper limit of instances for each function, 1 to 1000 (default 40): bounds the bill
var instances = given(readEnvironmentVariable('OPSWATCH_MAX_INSTANCES', ''), '40')
param maximumInstanceCount = isBetween(instances, 1, 1000)
  ? int(instances)
  : fail('OPSWATCH_MAX_INSTANCES must be a whole number from 1 to 1000, not "${instances}"')

// 1 keeps one instance ready for polls, without a cold start (default 0)
var ready = given(readEnvironmentVariable('OPSWATCH_ALWAYS_READY', ''), '0')
param alwaysReadyCount = isBetween(ready, 0, 1)
  ? int(ready)
  : fail('OPSWATCH_ALWAYS_READY must be 0 or 1, not "${ready}"')

// true: plan and storage in several zones, with two instances of each function always ready (default false)
var zones = given(readEnvironmentVariable('OPSWATCH_ZONE_REDUNDANT', ''), 'false')
param zoneRedundant = isBool(zones)
  ? bool(zones)
  : fail('OPSWATCH_ZONE_REDUNDANT must be true or false, not "${zones}"')

// true: storage and vault behind private endpoints (default false)
var private = given(readEnvironmentVariable('OPSWATCH_PRIVATE_NETWORKING', ''), 'false')
param privateNetworking = isBool(private)
  ? bool(private)
  : fail('OPSWATCH_PRIVATE_NETWORKING must be true or false, not "${private}"')

// Address space of that network, a /24 (default 10.41.0.0/24)
var prefix = given(readEnvironmentVariable('OPSWATCH_NETWORK_PREFIX', ''), '10.41.0.0/24')
param networkAddressPrefix = isNetwork(prefix)
  ? prefix
  : fail('OPSWATCH_NETWORK_PREFIX must be an IPv4 network like 10.41.0.0/24, not "${prefix}"')

// Watched subscriptions, comma-separated (default: the one deployed to)
var subscriptions = entries(readEnvironmentVariable('OPSWATCH_WATCHED_SUBSCRIPTIONS', ''))
param watchedSubscriptionIds = empty(filter(subscriptions, each => !isGuid(each)))
  ? subscriptions
  : fail('OPSWATCH_WATCHED_SUBSCRIPTIONS must be subscription ids, separated by commas, not "${join(subscriptions, ',')}"')

// Read actions of other providers, comma-separated (default: none). ARM refuses the whole role if a provider does not
// have one of them; some status actions cannot be part of any role.
var actions = entries(readEnvironmentVariable('OPSWATCH_READ_ACTIONS', ''))
param additionalReadActions = empty(filter(actions, each => !isReadAction(each)))
  ? actions
  : fail('OPSWATCH_READ_ACTIONS must end in /read and have no *, not "${join(actions, ',')}"')

// Full resource id of a role that an administrator created (default: the template creates the roles)
var role = given(readEnvironmentVariable('OPSWATCH_READER_ROLE_ID', ''), '')
param readerRoleId = empty(role) || isRoleId(role)
  ? role
  : fail('OPSWATCH_READER_ROLE_ID must be the full resource id of a role definition, not "${role}"')

// E-mail address for alerts (default: no e-mail)
param alertEmail = given(readEnvironmentVariable('OPSWATCH_ALERT_EMAIL', ''), '')

// Object id and type of the operators (default: the identity that deploys)
param operatorPrincipalId = given(readEnvironmentVariable('OPSWATCH_OPERATOR_ID', ''), '')
var operatorType = readEnvironmentVariable('OPSWATCH_OPERATOR_TYPE', '')
param operatorPrincipalType = empty(operatorType)
  ? 'Group'
  : contains(['Group', 'ServicePrincipal', 'User'], operatorType)
      ? operatorType
      : fail('OPSWATCH_OPERATOR_TYPE must be Group, ServicePrincipal or User, not "${operatorType}"')

// Object id and type of the readers (default: none)
param readerPrincipalId = given(readEnvironmentVariable('OPSWATCH_READERS_ID', ''), '')
var readersType = readEnvironmentVariable('OPSWATCH_READERS_TYPE', '')
param readerPrincipalType = empty(readersType)
  ? 'Group'
  : contains(['Group', 'ServicePrincipal', 'User'], readersType)
      ? readersType
      : fail('OPSWATCH_READERS_TYPE must be Group, ServicePrincipal or User, not "${readersType}"')

// Traces that an instance keeps each second (default 0.2)
var rate = given(readEnvironmentVariable('OPSWATCH_TRACES_PER_SECOND', ''), '0.2')
param tracesPerSecond = isDecimal(rate)
  ? rate
  : fail('OPSWATCH_TRACES_PER_SECOND must be a number such as 0.2 or 20, not "${rate}"')

// Share of traces to keep instead, 0 to 1 (default: none)
var ratio = given(readEnvironmentVariable('OPSWATCH_TRACE_RATIO', ''), '')
param traceSamplingRatio = empty(ratio) || isShare(ratio)
  ? ratio
  : fail('OPSWATCH_TRACE_RATIO must be a number from 0 to 1, not "${ratio}"')

// true once, to recover a deleted vault (default false)
var recover = given(readEnvironmentVariable('OPSWATCH_RECOVER_VAULT', ''), 'false')
param recoverKeyVault = isBool(recover)
  ? bool(recover)
  : fail('OPSWATCH_RECOVER_VAULT must be true or false, not "${recover}"')

// Settings of the app, which checks them itself; README.md lists them
param settings = {
  OPSWATCH_SUBSCRIPTION_ID: readEnvironmentVariable('OPSWATCH_SUBSCRIPTION_ID', '')
  OPSWATCH_LOCATION: readEnvironmentVariable('OPSWATCH_LOCATION', '')
  OPSWATCH_PROVIDER: readEnvironmentVariable('OPSWATCH_PROVIDER', '')
  OPSWATCH_API_VERSION: readEnvironmentVariable('OPSWATCH_API_VERSION', '')
  OPSWATCH_CALLBACK_URL: readEnvironmentVariable('OPSWATCH_CALLBACK_URL', '')
  OPSWATCH_CALLBACK_HOSTS: readEnvironmentVariable('OPSWATCH_CALLBACK_HOSTS', '')
  OPSWATCH_CALLBACK_NETWORKS: readEnvironmentVariable('OPSWATCH_CALLBACK_NETWORKS', '')
  OPSWATCH_CALLBACK_SCHEDULE: readEnvironmentVariable('OPSWATCH_CALLBACK_SCHEDULE', '')
  OPSWATCH_CALLBACK_RESULT: readEnvironmentVariable('OPSWATCH_CALLBACK_RESULT', '')
  OPSWATCH_TIMEOUT: readEnvironmentVariable('OPSWATCH_TIMEOUT', '')
  OPSWATCH_POLL_MIN: readEnvironmentVariable('OPSWATCH_POLL_MIN', '')
  OPSWATCH_POLL_MAX: readEnvironmentVariable('OPSWATCH_POLL_MAX', '')
  OPSWATCH_POLL_COST: readEnvironmentVariable('OPSWATCH_POLL_COST', '')
  OPSWATCH_MISS_GRACE: readEnvironmentVariable('OPSWATCH_MISS_GRACE', '')
  OPSWATCH_RETENTION: readEnvironmentVariable('OPSWATCH_RETENTION', '')
}
