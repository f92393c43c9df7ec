from pathlib import Path

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.local.azurite import running_azurite


async def test_folder_keeps_data_between_runs(tmp_path: Path) -> None:
    with running_azurite(tmp_path) as first:
        account = Account(Storage(connection_string=first.connection_string))
        queue, table = account.queue("kept"), account.table("kept")
        await queue.create_queue()
        await queue.send_message("kept")
        await table.create_table()
        await table.create_entity({"PartitionKey": "p", "RowKey": "kept"})
        await account.close()
    with running_azurite(tmp_path, first.ports) as second:
        account = Account(Storage(connection_string=second.connection_string))
        assert [message.content async for message in account.queue("kept").receive_messages()]
        assert await account.table("kept").get_entity("p", "kept")
        await account.close()
    assert second.connection_string == first.connection_string
