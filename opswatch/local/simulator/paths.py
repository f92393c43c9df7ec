"""The shapes of status URLs: how a path is made from its parts, and how two paths are the same."""

from urllib.parse import quote, unquote

OPERATIONS_STATUS = (
    "/subscriptions/{subscription}/providers/{provider}/locations/{location}/operationsStatus/{id}"
)
ASYNC_OPERATIONS = (
    "/subscriptions/{subscription}/providers/{provider}/locations/{location}/asyncOperations/{id}"
)
OPERATION_RESULTS = (
    "/subscriptions/{subscription}/providers/{provider}/locations/{location}/operationResults/{id}"
)
SUBSCRIPTION_RESULTS = "/subscriptions/{subscription}/operationresults/{id}"
RESOURCE_GROUP_STATUSES = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}"
    "/operationStatuses/{id}"
)


def path_key(path: str) -> str:
    """Return what is equal for equal paths: ARM compares without case, locations without spaces."""
    return unquote(path).replace(" ", "").rstrip("/").lower()


def encode_path(path: str) -> str:
    """Return `path` as it stands in a URL (`East US` becomes `East%20US`)."""
    return quote(path, safe="/~@:!$&'()*+,;=")
