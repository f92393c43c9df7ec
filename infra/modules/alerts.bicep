// The alert rules and their recipients. Each rule has a section of the same name in docs/runbook.md.

param location string
param tags object
param workspaceId string
param alertEmail string

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-opswatch'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'opswatch'
    enabled: true
    emailReceivers: empty(alertEmail)
      ? []
      : [
          {
            name: 'operators'
            emailAddress: alertEmail
            useCommonAlertSchema: true
          }
        ]
  }
}

var rules = [
  {
    name: 'poison'
    displayName: 'A message reached a poison queue'
    severity: 1
    query: loadTextContent('../queries/poison.kql')
    measure: 'Messages'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 0
    frequency: 'PT5M'
    window: 'PT15M'
  }
  {
    name: 'kept'
    displayName: 'Messages are kept because of a setting or an outage'
    severity: 1
    query: loadTextContent('../queries/kept.kql')
    measure: 'Minutes'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 4
    frequency: 'PT5M'
    window: 'PT15M'
  }
  {
    name: 'overdue'
    displayName: 'The oldest due watch is more than five minutes late'
    severity: 1
    query: loadTextContent('../queries/overdue.kql')
    measure: 'Seconds'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 300
    frequency: 'PT5M'
    window: 'PT15M'
  }
  {
    name: 'heartbeat'
    displayName: 'The timer has not run for a quarter of an hour'
    severity: 1
    query: loadTextContent('../queries/heartbeat.kql')
    measure: 'Runs'
    aggregation: 'Total'
    operator: 'LessThan'
    threshold: 1
    frequency: 'PT5M'
    window: 'PT15M'
  }
  {
    name: 'abandoned'
    displayName: 'A callback was abandoned'
    severity: 2
    query: loadTextContent('../queries/abandoned.kql')
    measure: 'Deliveries'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 0
    frequency: 'PT15M'
    window: 'PT15M'
  }
  {
    name: 'access'
    displayName: 'ARM refuses polls (401 or 403)'
    severity: 1
    query: loadTextContent('../queries/access.kql')
    measure: 'Misses'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 0
    frequency: 'PT5M'
    window: 'PT15M'
  }
  {
    name: 'throttled'
    displayName: 'ARM throttles more than a twentieth of the polls (429)'
    severity: 2
    query: loadTextContent('../queries/throttled.kql')
    measure: 'Percent'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 5
    frequency: 'PT15M'
    window: 'PT30M'
  }
  {
    name: 'slow'
    displayName: 'An operation runs longer than 99 of 100 of its kind'
    severity: 3
    query: loadTextContent('../queries/slow.kql')
    measure: 'Operations'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 0
    frequency: 'PT15M'
    window: 'PT15M'
  }
  {
    name: 'rejections'
    displayName: 'A posted message was rejected'
    severity: 3
    query: loadTextContent('../queries/rejections.kql')
    measure: 'Messages'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 0
    frequency: 'PT15M'
    window: 'PT15M'
  }
  {
    name: 'errors'
    displayName: 'The HTTP API answers with 5xx'
    severity: 2
    query: loadTextContent('../queries/errors.kql')
    measure: 'Requests'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 0
    frequency: 'PT5M'
    window: 'PT15M'
  }
]

resource queryRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: 'opswatch-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'opswatch: ${rule.displayName}'
      description: 'What to do: docs/runbook.md, section ${rule.name}.'
      severity: rule.severity
      enabled: true
      scopes: [
        workspaceId
      ]
      evaluationFrequency: rule.frequency
      windowSize: rule.window
      autoMitigate: true
      // A new workspace may not have its tables yet, and Azure would refuse the rule. tests/infra/checks/kusto.py
      // checks every query against the columns of the tables instead.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: rule.query
            metricMeasureColumn: rule.measure
            timeAggregation: rule.aggregation
            operator: rule.operator
            threshold: rule.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: [
          operators.id
        ]
      }
    }
  }
]
