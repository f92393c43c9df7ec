// Functions for main.bicepparam. A test of a value is here, and its error message is there: `fail` cannot be imported.

@export()
@description('The entries of a comma-separated list: trimmed, in lower case, without duplicates and empty entries.')
func entries(text string) string[] =>
  union([], filter(map(split(text, ','), each => toLower(trim(each))), each => !empty(each)))

@export()
@description('The value, or the default if it is empty: on GitHub an unset variable arrives as an empty one.')
func given(text string, default string) string => empty(trim(text)) ? default : trim(text)

@export()
@description('Whether the text is a whole number of at most nine digits.')
func isWhole(text string) bool =>
  !empty(text) && length(text) < 10 && empty(filter(
    range(0, length(text)),
    i => !contains('0123456789', substring(text, i, 1))
  ))

@export()
@description('Whether the text is a whole number between two bounds.')
func isBetween(text string, least int, most int) bool => isWhole(text) && int(text) >= least && int(text) <= most

@export()
@description('Whether the text is a decimal number, such as 20 or 0.5.')
func isDecimal(text string) bool =>
  length(split(text, '.')) < 3 && empty(filter(split(text, '.'), part => !isWhole(part)))

@export()
@description('Whether the text is a decimal number from 0 to 1.')
func isShare(text string) bool =>
  contains(['0', '1', '1.0'], text) || (startsWith(text, '0.') && isWhole(skip(text, 2)))

@export()
@description('Whether the text is true or false.')
func isBool(text string) bool => contains(['true', 'false'], toLower(text))

@export()
@description('Whether the text is an IPv4 network of 256 addresses.')
func isNetwork(text string) bool =>
  endsWith(text, '.0/24') && length(split(text, '.')) == 4 && empty(filter(
    take(split(text, '.'), 3),
    part => !isBetween(part, 0, 255)
  ))

@export()
@description('Whether the text has the form of a GUID.')
func isGuid(text string) bool =>
  join(map(split(text, '-'), part => string(length(part))), '-') == '8-4-4-4-12' && empty(filter(
    range(0, length(text)),
    i => !contains('0123456789abcdef-', toLower(substring(text, i, 1)))
  ))

@export()
@description('Whether the text is the resource id of a role definition.')
func isRoleId(text string) bool =>
  contains(toLower(text), '/providers/microsoft.authorization/roledefinitions/') && isGuid(last(split(text, '/')))

@export()
@description('Whether the text is one read action without a wildcard.')
func isReadAction(text string) bool => endsWith(toLower(text), '/read') && !contains(text, '*')
