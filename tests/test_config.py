"""The settings: the values that each accepts, and errors that name it and quote no secret."""

from dataclasses import fields, replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from azure.core import AzureClouds
from azure.mgmt.core.tools import get_arm_endpoints
from hypothesis import given
from hypothesis import strategies as st

from opswatch.config import CLOUDS, STOPS, UNRESOLVED, Settings, Storage
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.errors import ConfigError
from opswatch.core.intake import Defaults
from opswatch.core.policy import DEFAULT_CALLBACK_SCHEDULE, Policy
from opswatch.core.webhook import Secret
from tests.support.cases import cases

KEY = "c2VjcmV0LXN0b3JhZ2Uta2V5"
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={KEY}=="
SAS = (
    "QueueEndpoint=https://a.queue.core.windows.net;TableEndpoint=https://a.table.core.windows.net;"
    "SharedAccessSignature=sv=1&sig=x%3D"
)
MINIMAL = {"AzureWebJobsStorage": CONNECTION}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def settings(**env: str) -> Settings:
    return Settings.from_env(MINIMAL | env)


def problems(env: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(env)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


def problem(name: str, value: str) -> str:
    """Return the one error of a wrong setting, which names it."""
    (only,) = problems(MINIMAL | {name: value})
    assert only.startswith(f"{name}: ")
    return only


# --- defaults


def test_defaults_are_the_contracts() -> None:
    assert settings() == Settings(
        storage=Storage(connection_string=CONNECTION),
        arm_endpoint="https://management.azure.com",
        arm_scope="https://management.azure.com/.default",
        client_id=None,
        defaults=Defaults(
            subscription_id=None,
            location=None,
            provider="Microsoft.Cache",
            api_version="2024-10-01",
            callback_url=None,
        ),
        rules=CallbackRules(hosts=(), networks=()),
        secrets=(),
        policy=Policy(
            timeout=timedelta(hours=24),
            poll_min=timedelta(seconds=1),
            poll_max=timedelta(minutes=5),
            poll_cost=2.0,
            miss_grace=timedelta(minutes=15),
            retention=timedelta(days=30),
            callback_schedule=DEFAULT_CALLBACK_SCHEDULE,
        ),
    )


NAMES = [
    "OPSWATCH_CLOUD", "OPSWATCH_ARM_ENDPOINT", "OPSWATCH_SUBSCRIPTION_ID", "OPSWATCH_LOCATION",
    "OPSWATCH_PROVIDER", "OPSWATCH_API_VERSION", "OPSWATCH_CALLBACK_URL",
    "OPSWATCH_CALLBACK_SECRETS", "OPSWATCH_CALLBACK_HOSTS", "OPSWATCH_CALLBACK_NETWORKS",
    "OPSWATCH_CALLBACK_SCHEDULE", "OPSWATCH_TIMEOUT", "OPSWATCH_POLL_MIN", "OPSWATCH_POLL_MAX",
    "OPSWATCH_POLL_COST", "OPSWATCH_MISS_GRACE", "OPSWATCH_RETENTION",
]  # fmt: skip


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_empty_variable_counts_as_absent(blank: str) -> None:
    assert settings(**dict.fromkeys(NAMES, blank)) == settings()


def test_unknown_variables_are_ignored() -> None:
    assert settings(OPSWATCH_COLOR="red", PATH="/bin") == settings()


# --- each setting


@pytest.mark.parametrize(
    ("cloud", "setting"),
    [
        ("public", AzureClouds.AZURE_PUBLIC_CLOUD),
        ("usgov", AzureClouds.AZURE_US_GOVERNMENT),
        ("china", AzureClouds.AZURE_CHINA_CLOUD),
    ],
)
def test_cloud_has_the_sdks_endpoint_and_scope(cloud: str, setting: AzureClouds) -> None:
    known = get_arm_endpoints(setting)
    made = settings(OPSWATCH_CLOUD=cloud.upper())
    assert made.arm_endpoint == known["resource_manager"].rstrip("/")
    assert [made.arm_scope] == known["credential_scopes"]


def test_only_known_clouds_are_accepted() -> None:
    assert set(CLOUDS) == {"public", "usgov", "china"}
    assert "germany" in problem("OPSWATCH_CLOUD", "germany")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("https://arm.example.com", "https://arm.example.com"),
        ("https://ARM.example.com/", "https://arm.example.com"),
        ("HTTPS://arm.example.com:8443", "https://arm.example.com:8443"),
        ("http://localhost:7080", "http://localhost:7080"),
        ("http://127.0.0.1:7080/", "http://127.0.0.1:7080"),
        ("http://[::1]:7080", "http://[::1]:7080"),
    ],
)
def test_endpoint_can_be_set(text: str, endpoint: str) -> None:
    made = settings(OPSWATCH_ARM_ENDPOINT=text, OPSWATCH_CLOUD="usgov")
    assert made.arm_endpoint == endpoint
    assert made.arm_scope == "https://management.core.usgovcloudapi.net/.default"


@pytest.mark.parametrize("region", ["", "westeurope."])
@pytest.mark.parametrize("cloud", CLOUDS)
def test_endpoint_of_a_cloud_brings_its_scope(cloud: str, region: str) -> None:
    endpoint, scope = CLOUDS[cloud]
    endpoint = endpoint.replace("//", f"//{region}")
    made = settings(OPSWATCH_ARM_ENDPOINT=endpoint)
    assert (made.arm_endpoint, made.arm_scope) == (endpoint, scope)
    assert settings(OPSWATCH_ARM_ENDPOINT=endpoint, OPSWATCH_CLOUD=cloud).arm_scope == scope


def test_endpoint_of_another_cloud_than_the_set_one_is_an_error() -> None:
    endpoint, _ = CLOUDS["usgov"]
    with pytest.raises(ConfigError, match="is of the cloud usgov, not public"):
        settings(OPSWATCH_ARM_ENDPOINT=endpoint, OPSWATCH_CLOUD="public")


def test_host_that_ends_like_a_cloud_is_not_of_it() -> None:
    made = settings(OPSWATCH_ARM_ENDPOINT="https://notmanagement.usgovcloudapi.net")
    assert made.arm_scope == CLOUDS["public"][1]


def test_message_defaults_can_be_set() -> None:
    made = settings(
        OPSWATCH_SUBSCRIPTION_ID=" 123 ",
        OPSWATCH_LOCATION="West US",
        OPSWATCH_PROVIDER="Microsoft.Sql",
        OPSWATCH_API_VERSION="2021-01-01-preview",
        OPSWATCH_CALLBACK_URL="https://example.com/hook?code=1",
    )
    assert made.defaults == Defaults(
        subscription_id="123",
        location="West US",
        provider="Microsoft.Sql",
        api_version="2021-01-01-preview",
        callback_url="https://example.com/hook?code=1",
    )


def test_callback_must_match_hosts_and_networks() -> None:
    url = "http://127.0.0.1:9000/x"
    made = settings(OPSWATCH_CALLBACK_URL=url, OPSWATCH_CALLBACK_NETWORKS="127.0.0.0/8")
    assert made.defaults.callback_url == url
    (found,) = problems(
        MINIMAL
        | {"OPSWATCH_CALLBACK_URL": "https://a.com", "OPSWATCH_CALLBACK_HOSTS": "*.example.com"}
    )
    assert found.startswith("OPSWATCH_CALLBACK_URL: ")


def test_hosts_and_networks_are_lists() -> None:
    made = settings(
        OPSWATCH_CALLBACK_HOSTS=" *.Example.com, hooks.contoso.com. ,,",
        OPSWATCH_CALLBACK_NETWORKS=" 10.0.0.0/8, fd00::/8 ,, 192.0.2.1",
    )
    assert made.rules == CallbackRules(
        hosts=("*.example.com", "hooks.contoso.com"),
        networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("192.0.2.1/32")),
    )


def test_secrets_are_newest_first() -> None:
    other = "whsec_" + "aHVu" * 10
    made = settings(OPSWATCH_CALLBACK_SECRETS=f"  {other}\n{SECRET} ")
    assert made.secrets == (Secret.parse(other), Secret.parse(SECRET))


@pytest.mark.parametrize(
    "reference",
    [
        "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/secrets/callback-secrets)",
        " @microsoft.keyvault(VaultName=kv;SecretName=callback-secrets)",
    ],
)
def test_unresolved_vault_reference_counts_as_no_secret(reference: str) -> None:
    assert settings(OPSWATCH_CALLBACK_SECRETS=reference).secrets == ()


@pytest.mark.parametrize(
    ("text", "schedule"),
    [("0", [0]), ("0,5,300", [0, 5, 300]), (" 1.5 , 2 ", [1.5, 2]), ("432000", [432_000])],
)
def test_schedule_is_in_seconds(text: str, schedule: list[float]) -> None:
    made = settings(OPSWATCH_CALLBACK_SCHEDULE=text)
    assert made.policy.callback_schedule == tuple(timedelta(seconds=gap) for gap in schedule)


WEEK = timedelta(days=7)


@pytest.mark.parametrize(
    ("name", "attribute", "text", "value"),
    [
        ("OPSWATCH_TIMEOUT", "timeout", "PT30S", timedelta(seconds=30)),
        ("OPSWATCH_TIMEOUT", "timeout", "P7D", WEEK),
        ("OPSWATCH_POLL_MIN", "poll_min", "PT5M", timedelta(minutes=5)),
        ("OPSWATCH_POLL_MIN", "poll_min", "PT1S", timedelta(seconds=1)),
        ("OPSWATCH_POLL_MAX", "poll_max", "PT1S", timedelta(seconds=1)),
        ("OPSWATCH_POLL_MAX", "poll_max", "P7D", WEEK),
        ("OPSWATCH_POLL_COST", "poll_cost", "0.1", 0.1),
        ("OPSWATCH_POLL_COST", "poll_cost", "60", 60.0),
        ("OPSWATCH_MISS_GRACE", "miss_grace", "PT0S", timedelta(0)),
        ("OPSWATCH_MISS_GRACE", "miss_grace", "P7D", WEEK),
        ("OPSWATCH_RETENTION", "retention", "PT1H", timedelta(hours=1)),
        ("OPSWATCH_RETENTION", "retention", "P3650D", timedelta(days=3650)),
    ],
)
def test_number_of_the_policy_is_read(name: str, attribute: str, text: str, value: object) -> None:
    policy = settings(**{name: text}).policy
    expected: dict[str, Any] = {attribute: value}
    assert policy == replace(Policy(), **expected)


_SEGMENTS = ["a/b", "a\\b", "a?b", "a#b", "a%20b", "a&b", "a\nb", "é"]
REFUSED = {
    "OPSWATCH_ARM_ENDPOINT": [
        "arm.example.com", "http://arm.example.com", "http://10.0.0.1", "http://127.0.0.1.evil.example",
        "http://localhost.evil.example", "ftp://localhost", "https://", "https://arm.example.com/x",
        "https://arm.example.com/?x=1", "https://arm.example.com#x", "https://arm.example.com:x",
        "https://arm.example.com:99999", "https://user@arm.example.com", "https://user:hunter2@arm",
        "https://@arm.example.com", "https://a b", "https://a\\b", "https://[::1", "https://a%2eb",
        "https://\u24d0.example.com",
    ],
    "OPSWATCH_SUBSCRIPTION_ID": _SEGMENTS,
    "OPSWATCH_LOCATION": _SEGMENTS,
    "OPSWATCH_PROVIDER": _SEGMENTS,
    "OPSWATCH_API_VERSION": _SEGMENTS,
    "OPSWATCH_CALLBACK_URL": [
        "http://example.com", "https://127.0.0.1", "https://u:hunter2@example.com", "x",
    ],
    "OPSWATCH_CALLBACK_HOSTS": ["https://example.com", "a.com b.com", "[a-z].com"],
    "OPSWATCH_CALLBACK_NETWORKS": [
        "10.0.0.1/8", "10.0.0.0/33", "example.com", "10.0.0.0/8 10.0.0.0/8",
    ],
    "OPSWATCH_CALLBACK_SCHEDULE": [
        "x", "1,,2", ",", "-1", "432001", "604800", "nan", "inf", "1e300", "PT5S", "1;2", "1 2",
    ],
    "OPSWATCH_TIMEOUT": ["PT29S", "P7DT1S", "24h", "86400", "P1M", "-PT1H", "PT"],
    "OPSWATCH_POLL_MIN": ["PT0S", "PT0.5S", "PT1.5S", "PT6M", "P8D", "5"],
    "OPSWATCH_POLL_MAX": ["PT0S", "PT0.5S", "PT1.5S", "P8D", "300"],
    "OPSWATCH_POLL_COST": ["0", "-1", "nan", "inf", "PT2S", "1e9", "two"],
    "OPSWATCH_MISS_GRACE": ["P8D", "900", "-PT1S"],
    "OPSWATCH_RETENTION": ["PT59M", "P3651D", "30"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values]
)
def test_invalid_value_is_refused_by_name(name: str, value: str) -> None:
    assert "hunter2" not in problem(name, value)


# --- storage

ACCOUNT = Storage(
    queue_uri="https://acct.queue.core.windows.net", table_uri="https://acct.table.core.windows.net"
)


def test_emulator_has_a_short_name() -> None:
    storage = settings(AzureWebJobsStorage="UseDevelopmentStorage=true").storage
    parts = dict(part.split("=", 1) for part in storage.connection_string.split(";") if part)
    assert parts["AccountName"] == "devstoreaccount1"
    assert parts["QueueEndpoint"] == "http://127.0.0.1:10001/devstoreaccount1"
    assert parts["TableEndpoint"] == "http://127.0.0.1:10002/devstoreaccount1"
    also = settings(AzureWebJobsStorage="usedevelopmentstorage=True;").storage
    assert also == storage


@cases(
    "text",
    {
        "key": CONNECTION,
        "key, in another case": f"accountname=acct;accountkey={KEY}",
        "key, with a semicolon": f"{CONNECTION};",
        "SAS": SAS,
    },
)
def test_connection_string_is_kept(text: str) -> None:
    assert settings(AzureWebJobsStorage=text).storage == Storage(connection_string=text)


@cases(
    "env, storage",
    {
        "account name": ({"accountName": "acct"}, ACCOUNT),
        "service URIs": (
            {
                "queueServiceUri": "https://q.queue.core.chinacloudapi.cn/",
                "tableServiceUri": "https://t.table.core.chinacloudapi.cn",
            },
            Storage(
                queue_uri="https://q.queue.core.chinacloudapi.cn",
                table_uri="https://t.table.core.chinacloudapi.cn",
            ),
        ),
        "a service URI wins": (
            {"accountName": "acct", "tableServiceUri": "https://t.example.com/x"},
            replace(ACCOUNT, table_uri="https://t.example.com/x"),
        ),
        "a user-assigned identity": (
            {"accountName": "acct", "credential": "managedIdentity", "clientId": "id-1"},
            replace(ACCOUNT, managed_identity=True, client_id="id-1"),
        ),
        "the system-assigned identity": (
            {"accountName": "acct", "credential": "managedidentity"},
            replace(ACCOUNT, managed_identity=True),
        ),
    },
)
def test_identity_based_connection_is_read(env: dict[str, str], storage: Storage) -> None:
    made = {f"AzureWebJobsStorage__{name}": value for name, value in env.items()}
    assert Settings.from_env(made).storage == storage
    assert Storage.from_env(made) == storage
    other = {f"Other__{name}": value for name, value in env.items()}
    assert Storage.from_env(other, "Other") == storage


def test_polling_identity_defaults_to_that_of_storage() -> None:
    env = {"AzureWebJobsStorage__accountName": "a", "AzureWebJobsStorage__clientId": "id-1"}
    assert Settings.from_env(env).client_id == "id-1"
    assert Settings.from_env(env | {"AZURE_CLIENT_ID": " id-2 "}).client_id == "id-2"
    assert settings(AZURE_CLIENT_ID="id-2").client_id == "id-2"


@cases(
    "env",
    {
        "nothing": {},
        "white space": {"AzureWebJobsStorage": " "},
        "no name": {"AzureWebJobsStorage": f"AccountKey={KEY}"},
        "no key": {"AzureWebJobsStorage": "AccountName=acct"},
        "no connection string": {"AzureWebJobsStorage": f"sig={KEY}"},
        "a key": {"AzureWebJobsStorage": KEY},
        "a key too many": {"AzureWebJobsStorage": f"{CONNECTION};{KEY}"},
        "false": {"AzureWebJobsStorage": "UseDevelopmentStorage=false"},
        "a SAS without tables": {
            "AzureWebJobsStorage": f"SharedAccessSignature=sig={KEY};QueueEndpoint=https://a"
        },
        "no table service": {"AzureWebJobsStorage__queueServiceUri": "https://q.example.com"},
        "http": {
            "AzureWebJobsStorage__accountName": "a",
            "AzureWebJobsStorage__queueServiceUri": "http://q.example.com",
        },
        "a SAS in a service URI": {
            "AzureWebJobsStorage__accountName": "a",
            "AzureWebJobsStorage__tableServiceUri": f"https://t.example.com/?sig={KEY}",
        },
        "no account name": {"AzureWebJobsStorage__accountName": "a/b?c"},
    },
)
def test_invalid_connection_is_refused_without_quoting_it(env: dict[str, str]) -> None:
    found = problems(env)
    assert found
    assert all(problem.startswith("AzureWebJobsStorage: ") for problem in found)
    assert KEY not in "".join(found)


# --- all together


def test_all_mistakes_are_reported_together() -> None:
    wrong = dict.fromkeys(NAMES, "\x00?")
    found = problems(wrong)
    assert {problem.partition(":")[0] for problem in found} == {*NAMES, "AzureWebJobsStorage"}
    assert len(found) == len(NAMES) + 1


def test_crossing_bounds_are_reported() -> None:
    crossed = problem("OPSWATCH_POLL_MIN", "PT10M")
    assert "OPSWATCH_POLL_MAX" in crossed
    settings(OPSWATCH_POLL_MIN="PT10M", OPSWATCH_POLL_MAX="PT10M")


def test_settings_hide_their_secrets() -> None:
    made = settings(OPSWATCH_CALLBACK_SECRETS=SECRET)
    shown = f"{made!r} {made} {made.storage!r} {[getattr(made, f.name) for f in fields(made)]}"
    assert KEY not in shown
    assert SECRET.removeprefix("whsec_") not in shown
    assert str(Secret.parse(SECRET).key) not in shown


@pytest.mark.parametrize("value", [SECRET[:-8], f"{SECRET} hunter2", f"{SECRET},{SECRET}"])
def test_error_never_quotes_a_secret(value: str) -> None:
    found = problem("OPSWATCH_CALLBACK_SECRETS", value)
    assert "hunter2" not in found
    assert SECRET[6:16] not in found


def found_in(env: dict[str, str]) -> list[str]:
    try:
        Settings.from_env(env)
    except ConfigError as error:
        return error.problems
    return []


@given(st.dictionaries(st.sampled_from([*NAMES, "AzureWebJobsStorage"]), st.text()))
def test_any_environment_is_read_or_refused(env: dict[str, str]) -> None:
    assert {problem.partition(":")[0] for problem in found_in(env)} <= {*NAMES, *MINIMAL}


@given(
    st.sampled_from(NAMES),
    st.text()
    | st.from_regex(r"P?T?[0-9.]{1,12}[SMHDW]?")
    | st.from_regex(r"https?://[a-z0-9:/@%\[\].]{0,20}"),
)
def test_any_value_is_read_or_refused_by_name(name: str, value: str) -> None:
    found = found_in(MINIMAL | {name: value})
    assert [problem.partition(": ")[0] for problem in found] in ([], [name])


# --- what a mistake stops

RULES = ("OPSWATCH_CALLBACK_HOSTS", "OPSWATCH_CALLBACK_NETWORKS")


@pytest.mark.parametrize("name", sorted(STOPS))
def test_wrong_setting_changes_no_other(name: str) -> None:
    made = Settings.read(MINIMAL | {name: "\x00?"})
    assert {mistake.stops for mistake in made.mistakes} == {STOPS[name]}
    if name not in ("AzureWebJobsStorage", *RULES):
        assert replace(made, mistakes=(), defaults=settings().defaults) == settings()


@pytest.mark.parametrize("name", RULES)
def test_unknown_rules_judge_nothing(name: str) -> None:
    made = Settings.read(MINIMAL | {name: "?", "OPSWATCH_CALLBACK_URL": "https://example.com"})
    with pytest.raises(ConfigError, match=name):
        made.rules.refusal("https://example.com")
    with pytest.raises(ConfigError, match=name):
        made.rules.verdict("8.8.8.8", scheme="https")
    assert made.defaults.callback_url == "https://example.com"  # judged when it is called


def test_missing_secret_is_no_mistake() -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/secrets/callback-secrets)"
    made = settings(OPSWATCH_CALLBACK_SECRETS=reference)
    (mistake,) = made.mistakes
    assert not mistake.stops
    assert "kv.vault" not in mistake.text
    assert settings().mistakes == ()


@pytest.mark.parametrize("name", sorted({*STOPS} - {"OPSWATCH_CALLBACK_SECRETS"}))
def test_unresolved_vault_reference_is_explained(name: str) -> None:
    found = problems(MINIMAL | {name: "@Microsoft.KeyVault(VaultName=kv;SecretName=x)"})
    assert found == [f"{name}: {UNRESOLVED}"]


QUEUES_ALONE = {"": "QueueEndpoint=https://q;SharedAccessSignature=s"}
TABLES_ALONE = {"": "TableEndpoint=https://t;SharedAccessSignature=s"}


@cases(
    "env, services",
    {
        "a key": ({"": CONNECTION}, {"queue", "table"}),
        "a SAS": ({"": SAS}, {"queue", "table"}),
        "an account name": ({"__accountName": "acct"}, {"queue", "table"}),
        "a SAS without tables": (QUEUES_ALONE, {"queue"}),
        "a SAS without queues": (TABLES_ALONE, {"table"}),
        "a SAS of neither": ({"": "SharedAccessSignature=s"}, set()),
        "rubbish": ({"": "rubbish"}, set()),
        "nothing": ({}, set()),
        "queues alone": ({"__queueServiceUri": "https://q"}, {"queue"}),
        "tables alone": ({"__tableServiceUri": "https://t"}, {"table"}),
        "queues over http": ({"__queueServiceUri": "http://q"}, set()),
    },
)
@pytest.mark.parametrize("needs", [["queue"], ["table"], ["queue", "table"]], ids=" ".join)
def test_connection_needs_the_services_that_are_used(
    env: dict[str, str], services: set[str], needs: list[str]
) -> None:
    made = Settings.read(
        {f"AzureWebJobsStorage{name}": value for name, value in env.items()}, needs=needs
    )
    assert made.storage.has_queues == ("queue" in services)
    assert made.storage.has_tables == ("table" in services)
    assert not made.storage.queue_uri.startswith("http:")
    found = " ".join(mistake.text for mistake in made.mistakes)
    missing = {*needs} - services
    assert bool(found) == bool(missing), found
    for service in missing if services else ():
        assert f"it names no {service}s" in found


MISSPELLED = {
    "OPSWATCH_CALLBACK_SECRET": "OPSWATCH_CALLBACK_SECRETS",
    "OPSWATCH_CALLBACK_NETWORK": "OPSWATCH_CALLBACK_NETWORKS",
    "OPSWATCH_CALBACK_HOST": "OPSWATCH_CALLBACK_HOSTS",
    "OPSWATCH_POLLMIN": "OPSWATCH_POLL_MIN",
    "OPSWATCH_RETENTIONS": "OPSWATCH_RETENTION",
}


@pytest.mark.parametrize(("name", "meant"), MISSPELLED.items())
def test_misspelled_name_is_a_mistake(name: str, meant: str) -> None:
    assert problem(name, "x") == f"{name}: unknown; is it a misspelling of {meant}?"
    assert Settings.read(MINIMAL | {name: "x"}).mistakes[0].stops == STOPS[meant]
    assert settings(**{name: " "}) == settings()  # an empty variable counts as absent


OTHERS = [
    "OPSWATCH_URL",
    "OPSWATCH_KEY",
    "OPSWATCH_SECRET",
    "OPSWATCH_OPERATOR_ID",
    "OPSWATCH_MAX_INSTANCES",
    "OPSWATCH_PRIVATE_NETWORKING",
    "OPSWATCH_TRACES_PER_SECOND",
    "OPSWATCH_TRACE_RATIO",
    "OPSWATCH_READ_ACTIONS",
    "OPSWATCH_READERS_ID",
    "OPSWATCH_PYTHON_VERSION",
    "OPSWATCH_STORAGE_ACCOUNT",
    "OPSWATCH_NETWORK_PREFIX",
    "OPSWATCH_ALERT_EMAIL",
    "OPSWATCH_ZONE_REDUNDANT",
    "OPSWATCH_WATCHED_SUBSCRIPTIONS",
    "OPSWATCH_ALWAYS_READY",
    "OPSWATCH_RECOVER_VAULT",
    "OPSWATCH_READERS_TYPE",
    "OPSWATCH_OPERATOR_TYPE",
    "OPSWATCH_READER_ROLE_ID",
]


@pytest.mark.parametrize("name", OTHERS)
def test_variable_of_terminal_or_template_is_no_misspelling(name: str) -> None:
    assert settings(**{name: "x"}) == settings()
