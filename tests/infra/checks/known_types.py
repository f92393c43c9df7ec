"""The types of Key Vault and networks, as far as the templates use them.

From their references:
https://learn.microsoft.com/azure/templates/microsoft.keyvault/vaults
https://learn.microsoft.com/azure/templates/microsoft.network/privateendpoints

A trailing `!` marks what is required; a tuple lists the values of a closed choice; a dict is an
object, a list an array. `to_type_file` puts them into the form of Bicep's own type files.
"""

from typing import Any

_ID = {"id": "string"}
_TAGS = {"*": "string"}
_NETWORK_RULES = {
    "bypass": ("AzureServices", "None"),
    "defaultAction": ("Allow", "Deny"),
    "ipRules": [{"value!": "string"}],
    "virtualNetworkRules": [{"id!": "string"}],
}
_VAULT = {
    "tenantId!": "string",
    "sku!": {"family!": ("A",), "name!": ("premium", "standard")},
    "createMode": ("default", "recover"),
    "enableRbacAuthorization": "bool",
    "enableSoftDelete": "bool",
    "softDeleteRetentionInDays": "int",
    "enablePurgeProtection": "bool",
    "enabledForDeployment": "bool",
    "enabledForDiskEncryption": "bool",
    "enabledForTemplateDeployment": "bool",
    "networkAcls": _NETWORK_RULES,
    "publicNetworkAccess": "string",
    "accessPolicies": [{"objectId!": "string", "tenantId!": "string", "permissions!": {}}],
    "vaultUri": "string",
}
_SUBNET = {
    "addressPrefix": "string",
    "addressPrefixes": ["string"],
    "defaultOutboundAccess": "bool",
    "delegations": [{"name": "string", "properties": {"serviceName": "string"}}],
    "natGateway": _ID,
    "networkSecurityGroup": _ID,
    "privateEndpointNetworkPolicies": (
        "Disabled",
        "Enabled",
        "NetworkSecurityGroupEnabled",
        "RouteTableEnabled",
    ),
    "privateLinkServiceNetworkPolicies": ("Disabled", "Enabled"),
    "routeTable": _ID,
}
_CONNECTION = {
    "name": "string",
    "properties": {
        "privateLinkServiceId": "string",
        "groupIds": ["string"],
        "requestMessage": "string",
    },
}

KNOWN: dict[str, dict[str, Any]] = {
    "Microsoft.KeyVault/vaults@2024-11-01": {
        "location!": "string",
        "tags": _TAGS,
        "properties!": _VAULT,
    },
    "Microsoft.Network/virtualNetworks@2024-05-01": {
        "location": "string",
        "tags": _TAGS,
        "properties": {
            "addressSpace": {"addressPrefixes": ["string"]},
            "subnets": [{"name": "string", "properties": _SUBNET}],
        },
    },
    "Microsoft.Network/virtualNetworks/subnets@2024-05-01": {"properties": _SUBNET},
    "Microsoft.Network/privateDnsZones@2024-06-01": {"location": "string", "tags": _TAGS},
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01": {
        "location": "string",
        "tags": _TAGS,
        "properties": {"registrationEnabled": "bool", "virtualNetwork": _ID},
    },
    "Microsoft.Network/privateEndpoints@2024-05-01": {
        "location": "string",
        "tags": _TAGS,
        "properties": {
            "subnet": _ID,
            "privateLinkServiceConnections": [_CONNECTION],
            "customNetworkInterfaceName": "string",
        },
    },
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01": {
        "properties": {
            "privateDnsZoneConfigs": [
                {"name": "string", "properties": {"privateDnsZoneId": "string"}}
            ]
        }
    },
}


def to_type_file() -> list[dict[str, Any]]:
    """Return `KNOWN` in the form of a `types.json`."""
    types: list[dict[str, Any]] = []
    for name, shape in KNOWN.items():
        whole = {"name!": "string", "id": "string", **shape}
        body = _add(types, whole)
        types.append({"$type": "ResourceType", "name": name, "body": body})
    return types


def _add(types: list[dict[str, Any]], shape: object) -> dict[str, str]:
    match shape:
        case "string":
            entry: dict[str, Any] = {"$type": "StringType"}
        case "bool":
            entry = {"$type": "BooleanType"}
        case "int":
            entry = {"$type": "IntegerType"}
        case tuple():
            values = [{"$type": "StringLiteralType", "value": value} for value in shape]
            elements = [_append(types, value) for value in values]
            entry = {"$type": "UnionType", "elements": elements}
        case [item]:
            entry = {"$type": "ArrayType", "itemType": _add(types, item)}
        case dict():
            entry = _object(types, shape)
        case _:
            raise TypeError(f"{shape!r} is no shape of a type")
    return _append(types, entry)


def _object(types: list[dict[str, Any]], shape: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"$type": "ObjectType", "properties": {}}
    for name, value in shape.items():
        reference = _add(types, value)
        if name == "*":
            entry["additionalProperties"] = reference
        else:
            flags = 1 if name.endswith("!") else 0
            entry["properties"][name.rstrip("!")] = {"type": reference, "flags": flags}
    return entry


def _append(types: list[dict[str, Any]], entry: dict[str, Any]) -> dict[str, str]:
    types.append(entry)
    return {"$ref": f"#/{len(types) - 1}"}
