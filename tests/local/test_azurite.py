import socket
from pathlib import Path

import pytest

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.local import azurite
from opswatch.local.azurite import AzuriteError, free_ports, running_azurite


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


def test_port_that_was_taken_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program takes a port in the instant after it was found to be free."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        found = iter([[taken, *free_ports(2)], [*free_ports(2), taken], free_ports(3)])
        monkeypatch.setattr(azurite, "free_ports", lambda _: next(found))
        with running_azurite() as emulator:
            assert taken not in emulator.ports.values()


def test_ports_of_its_own_that_are_taken_are_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = dict(zip(("blob", "queue", "table"), free_ports(3), strict=True))
        ports["table"] = other.getsockname()[1]
        with (
            pytest.raises(AzuriteError, match="EADDRINUSE"),
            running_azurite(ports=ports),
        ):
            pass
