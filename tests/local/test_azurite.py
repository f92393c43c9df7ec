from pathlib import Path

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.local.azurite import Azurite, running_azurite


async def test_what_is_in_a_folder_outlives_the_emulator(tmp_path: Path) -> None:
    with running_azurite(tmp_path) as first:
        account = _account(first)
        await account.queue("letters").create_queue()
        await account.queue("letters").send_message("kept")
        await account.table("books").create_table()
        await account.table("books").create_entity({"PartitionKey": "p", "RowKey": "kept"})
        await account.close()
    with running_azurite(tmp_path, first.ports) as second:
        account = _account(second)
        assert [message.content async for message in account.queue("letters").receive_messages()]
        assert await account.table("books").get_entity("p", "kept")
        await account.close()
    assert second.connection_string == first.connection_string


def _account(azurite: Azurite) -> Account:
    return Account(Storage.from_env({"AzureWebJobsStorage": azurite.connection_string}))
