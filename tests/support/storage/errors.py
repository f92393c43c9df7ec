"""The errors of both services, under the codes of the real ones.

https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes, and the pages
beside it for queues and tables.
"""

_ERRORS = {
    "CommandsInBatchActOnDifferentPartitions": (
        400,
        "All commands in a batch must operate on same entity group.",
    ),
    "EntityAlreadyExists": (409, "The specified entity already exists."),
    "InvalidDuplicateRow": (
        400,
        "A command with this RowKey is already present in the batch.",
    ),
    "InvalidInput": (400, "One of the request inputs is not valid."),
    "InvalidXmlDocument": (400, "XML specified is not syntactically valid."),
    "MessageNotFound": (404, "The specified message does not exist."),
    "MissingRequiredHeader": (400, "A required HTTP header was not specified."),
    "NotImplemented": (501, "The requested operation is not implemented by the stand-in."),
    "OutOfRangeQueryParameterValue": (400, "A query parameter is out of range."),
    "PopReceiptMismatch": (400, "The specified pop receipt is not the message's."),
    "PropertiesNeedValue": (400, "The values are not specified for all properties in the entity."),
    "PropertyValueTooLarge": (400, "The property value exceeds the maximum allowed size (64KB)."),
    "QueueAlreadyExists": (409, "The specified queue already exists."),
    "QueueNotFound": (404, "The specified queue does not exist."),
    "RequestBodyTooLarge": (413, "The request body exceeds the maximum permissible limit."),
    "ResourceNotFound": (404, "The specified resource does not exist."),
    "TableAlreadyExists": (409, "The table specified already exists."),
    "TableNotFound": (404, "The table specified does not exist."),
    "UpdateConditionNotSatisfied": (
        412,
        "The update condition specified in the request was not satisfied.",
    ),
}


class RefusedError(Exception):
    """A request that the service answers with an error, named by its code."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.status, self.message = _ERRORS[code]
        super().__init__(code)
