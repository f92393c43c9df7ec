"""Posts operations that are announced by events: opswatch itself does not take an event as a post.

An Event Grid subscription of your own events calls this function. `data` of each event says which
operation has been started. (The other direction, callbacks as events, is in examples/forwarder.)
"""

import json

import azure.functions as func

app = func.FunctionApp()


# OPSWATCH_STORAGE is the connection to opswatch's storage account, such as the setting
# OPSWATCH_STORAGE__queueServiceUri with the role Storage Queue Data Message Sender.
@app.event_grid_trigger(arg_name="event")
@app.queue_output(arg_name="message", queue_name="operations", connection="OPSWATCH_STORAGE")
def post(event: func.EventGridEvent, message: func.Out[str]) -> None:
    """Post the operation that the event names; posting it again changes nothing."""
    data = event.get_json()
    known = ("operation", "resourceId", "kind", "callbackUrl", "startTime")
    post = {name: data[name] for name in known if data.get(name)}
    message.set(json.dumps(post | {"clientState": {"event": event.id, "topic": event.topic}}))
