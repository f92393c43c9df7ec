"""The function app: one decorator and one await for each trigger. What they do is in `opswatch`."""

import azure.functions as func

from opswatch import steps
from opswatch.process import Process

app = func.FunctionApp()
process = Process()


@app.queue_trigger(arg_name="message", queue_name="operations", connection="AzureWebJobsStorage")
async def operations(message: func.QueueMessage) -> None:
    """Take in what was posted, or poll a watch."""
    await steps.operations_message(await process.world(), message.get_body())


@app.queue_trigger(arg_name="message", queue_name="deliveries", connection="AzureWebJobsStorage")
async def deliveries(message: func.QueueMessage) -> None:
    """Make one attempt to deliver a callback."""
    await steps.deliveries_message(await process.world(), message.get_body())


# At start-up too: so the queues and tables are there before anybody posts.
@app.timer_trigger(arg_name="timer", schedule="0 * * * * *", run_on_startup=True)
async def reconcile(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding's
    """Wake up what is overdue, every minute."""
    await steps.reconcile(await process.world())


@app.timer_trigger(arg_name="timer", schedule="0 23 3 * * *")
async def purge(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding's
    """Remove what is older than the retention, daily."""
    await steps.purge(await process.world())
