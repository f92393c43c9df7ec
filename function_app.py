"""The function app: one decorator and one await for each trigger; the logic is in `opswatch`."""

import azure.functions as func

from opswatch.process import Process
from opswatch.steps import messages
from opswatch.steps import purge as purging
from opswatch.steps import repair as repairing
from opswatch.web.functions import HttpFunctions

app = func.FunctionApp()
process = Process()
http = HttpFunctions(process.services)


@app.queue_trigger(arg_name="message", queue_name="operations", connection="AzureWebJobsStorage")
async def operations(message: func.QueueMessage) -> None:
    """Register what was posted, or poll a watch."""
    await process.handle("operations", messages.operations_message, message.get_body())


@app.queue_trigger(arg_name="message", queue_name="deliveries", connection="AzureWebJobsStorage")
async def deliveries(message: func.QueueMessage) -> None:
    """Make one attempt to deliver a callback."""
    await process.handle("deliveries", messages.deliveries_message, message.get_body())


# Also at start-up, so that the queues and tables exist before the first post.
@app.timer_trigger(arg_name="timer", schedule="0 * * * * *", run_on_startup=True)
async def repair(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding's
    """Send wake-ups for overdue rows, every minute."""
    await repairing.repair(await process.services())


@app.timer_trigger(arg_name="timer", schedule="0 23 * * * *")
async def purge(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding's
    """Remove a slice of what is older than the retention, every hour."""
    await purging.purge(await process.services())


# The host tries routes in the order of the functions' names: the two that catch all come last.
@app.route(route="health", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Answer probes: does the app work?"""
    return await http.respond(req, "health")


@app.route(route="dashboard/{*path}", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
async def page(req: func.HttpRequest) -> func.HttpResponse:
    """Serve the page, which holds no data itself."""
    return await http.respond(req, "page")


@app.route(route="{*path}", methods=["GET", "HEAD"], auth_level=func.AuthLevel.FUNCTION)
async def read(req: func.HttpRequest) -> func.HttpResponse:
    """Answer what changes nothing: the key of this function is a viewer's."""
    return await http.respond(req, "read")


# The host refuses two functions of one route whose methods overlap.
@app.route(
    route="{*path}",
    methods=["POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    auth_level=func.AuthLevel.FUNCTION,
)
async def write(req: func.HttpRequest) -> func.HttpResponse:
    """Answer all other methods: the key of this function is an operator's."""
    return await http.respond(req, "write")
