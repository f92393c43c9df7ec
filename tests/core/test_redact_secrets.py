"""Secrets by name, neighbour and form, as public reports have them; and what has to stay."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.redact import redact, redact_text
from opswatch.core.texts import MAX_DEPTH, from_json

SECRET = "Qx7fW2mPz9KdL4sVb8Nt3Rg6"
SHORT = "hunter2"  # which looks like no key
DASHES = "-" * 5  # so that no search for keys finds one here
BEGIN, END = f"{DASHES}BEGIN RSA PRIVATE KEY{DASHES}", f"{DASHES}END RSA PRIVATE KEY{DASHES}"
PEM = f"{BEGIN}\n{SECRET}\n{SECRET}\n{END}"
KEY_64 = "k" * 43 + "+/" + "Z9" * 20 + "a" + "=="  # as long as a storage account's


# --- by name


@pytest.mark.parametrize(
    "name",
    [
        "password", "Password", "adminPassword", "admin_password", "ADMIN-PASSWORD", "password2",
        "passwords", "passwordValue", "userPWD", "passphrase", "key1", "Key_2", "accessKey1",
        "accessKeys", "access_key", "authKey", "authKey2", "sasKey", "sasSignature", "SASToken",
        "containerSas", "accountKey", "sharedAccessPolicyKey", "sharedAccessPolicyPrimaryKey",
        "sharedKey", "vpnSharedKey", "preSharedKey", "primaryKey", "secondaryKey",
        "primaryMasterKey", "secondaryReadonlyMasterKey", "functionKeys", "systemKeys",
        "subscriptionKey", "apiKey",
        "x-api-key", "api-key", "x-functions-key", "Ocp-Apim-Subscription-Key", "privateKey",
        "privateKeyPem", "client-key-data", "secret", "secrets", "clientSecret", "client_secret",
        "secretText", "tokens", "accessToken", "refresh_token", "id_token", "sasToken", "jwt",
        "kubeconfig", "kubeconfigs", "kubeConfigRaw", "credential", "credentials", "cookie",
        "Set-Cookie", "connectionString", "connectionStrings", "primaryConnectionString",
        "connectionString1", "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "pfx", "pfxBlob",
        "sharedAccessSignature", ".dockerconfigjson", "requirepass", "authorization",
        "Proxy-Authorization", "sig", "secureValue", "protectedSettings", "productKey",
    ],
)  # fmt: skip
def test_secret_name_hides_any_text(name: str) -> None:
    assert redact({"a": [{name: SHORT, "x": 1}]}) == {"a": [{name: "[redacted]", "x": 1}]}


@pytest.mark.parametrize(
    "name",
    [
        "key", "keys", "storeKey", "keyValue", "auth", "encryptionKey", "signature", "keyMaterial",
    ],
)  # fmt: skip
def test_unclear_name_hides_what_looks_like_key(name: str) -> None:
    assert redact({name: SECRET, "x": name}) == {name: "[redacted]", "x": name}
    assert redact({name: "west europe"}) == {name: "west europe"}


@pytest.mark.parametrize(
    "value",
    [
        {"keyVaultId": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/v"},
        {"publicKey": SECRET, "sshPublicKey": f"ssh-rsa {SECRET}", "publicKeyToken": SECRET},
        {"keyType": "RSA", "tokenType": "Bearer", "credentialType": "Default", "secretType": "x"},
        {"primaryKeyColumn": SECRET, "partitionKey": "tenantId", "sortKey": "a", "rowKey": SECRET},
        {
            "secretName": "db",
            "secretUri": "https://v.vault.azure.net/secrets/db/1",
            "keyId": SECRET,
        },
        {"keyVersion": "0123456789abcdef0123456789abcdef", "keySource": "Microsoft.Storage"},
        {"nextPageToken": "abc", "continuationToken": "def", "maxTokens": 4096, "tokens": 17},
        {"disablePasswordAuthentication": True, "password": None, "isSecret": False, "secret": ""},
        {"key": "environment", "value": "production"},
        {"tags": [{"name": "monkey", "value": "keyboard"}], "keywords": ["a"], "bypass": "None"},
        {"keys": [{"kty": "RSA", "kid": "https://v/keys/k/1", "n": SECRET, "e": "AQAB"}]},
        {"authorization": {"action": "Microsoft.Cache/redis/write", "scope": "/subscriptions/s"}},
        {"instrumentationKey": "6d1e3a70-0b6c-4b9c-a5d4-9e1c3b2a7f10", "kansas": "x"},
        {"keyPolicy": {"keyExpirationPeriodInDays": 90}, "allowSharedKeyAccess": True},
        {"name": "cache-1", "type": "Microsoft.Cache/redis", "value": "x", "status": "Enabled"},
        {"hostName": "a1.redis.cache.windows.net", "sslPort": 6380, "etag": f'W/"{SECRET}"'},
    ],
)
def test_harmless_names_keep_their_values(value: Any) -> None:
    assert redact(value) == value


# --- by neighbour


@pytest.mark.parametrize(
    "value",
    [
        {"passwords": [{"name": "password1", "value": SHORT}]},
        {"keys": [{"keyName": "primary", "value": SHORT, "permissions": "FULL"}]},
        {"value": [{"keyName": "key1", "value": SHORT}]},
        {"keys": {"value": [{"keyName": "key1", "value": SHORT}]}},
        {"keys": [{"value": SHORT}]},
        {"keys": {"primary": SECRET, "default": SECRET}},
        {"items": [{"name": "DB_PASSWORD", "value": SHORT}]},
        {"items": [{"value": SHORT, "Name": "ApiKey"}]},
        {"items": [{"key": "client_secret", "value": [SHORT]}]},
        {"items": [{"secretName": "x", "Val": SHORT}]},
        {"authorization": {"scheme": "Bearer", "parameter": SECRET}},
        {"headers": {"Authorization": [SHORT]}},
        {"headers": [{"name": "Authorization", "value": SHORT}]},
        {"outputs": {"connection": {"type": "SecureString", "value": SHORT}}},
        {"outputs": {"connection": {"type": "secureObject", "value": {"a": SHORT}}}},
        {"outputs": {"storageKey": {"type": "String", "value": SHORT}}},
        {"namedValue": {"displayName": "x", "secret": True, "value": SHORT}},
        {"outputs": {"x": {"sensitive": True, "value": SHORT}}},
        {"auths": {"r.azurecr.io": {"auth": "dXNlcjpodW50ZXIy"}}, "x": SHORT[:0]},
        {"password": 12345678, "pin": {"password": 12345678}},
    ],
)
def test_neighbours_hide_value(value: Any) -> None:
    text = json.dumps(redact(value))
    for secret in (SHORT, SECRET, "dXNlcj", "12345678"):
        assert secret not in text
    assert "[redacted]" in text


def test_names_beside_hidden_value_stay() -> None:
    keys = {"keys": [{"keyName": "key1", "value": SECRET, "permissions": "FULL"}]}
    hidden = {"keys": [{"keyName": "key1", "value": "[redacted]", "permissions": "FULL"}]}
    assert redact(keys) == hidden


# --- by form


FORMS = [
    f"SharedAccessSignature sr=https%3a%2f%2fns.servicebus.net&sig={SECRET}%3d&se=1&skn=Root",
    f"SharedAccessSignature=sv=2024&sig={SECRET}%3D&se=2027",
    f"sv=2024&ss=b&sig={SECRET}%3D&spr=https",
    f"the signature sig={SECRET} is invalid",
    f"st.blob.core.windows.net/c?sv=2024&sig={SECRET}",
    f"https%3A%2F%2Fst.blob.core.windows.net%2Fc%3Fsv%3D2024%26sig%3D{SECRET}%253D%26se%3D1",
    f"%3Fsig%3D{SECRET}",
    f"sig%253D{SECRET}",
    f"sv=2024&amp;sig={SECRET}&amp;se=1",
    f"a?sv=1\\u0026sig={SECRET}\\u0026se=1",
    f'{{"url":"https:\\/\\/st.blob.core.windows.net\\/c?sv=1\\u0026sig={SECRET}"}}',
    f'Upload to {{"sasUrl": "https://st/c?sig={SECRET}"}} failed',
    f"https://a.b/c?x={SECRET}#part",
    f"https://a.b/Items('x')?code={SECRET}",
    f"https://a.b/callback#access_token={SECRET}&state=1",
    f"https://learn.microsoft.com/a?sig={SECRET}",
    f"https://learn.microsoft.com.evil.example/a?x={SECRET}",
    f"https://learn.microsoft.com@evil.example/a?x={SECRET}",
    f"/subscriptions/s/operationresults/o?api-version=1&t=638&c=MIIHabcdefghijkl&s={SECRET}&h=abc",
    PEM,
    PEM.replace("\n", "\\n"),
    PEM[:60],
    PEM.replace("RSA PRIVATE", "PRIVATE"),
    PEM.replace("RSA PRIVATE", "ENCRYPTED PRIVATE"),
    PEM.replace("RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK"),
    PEM[PEM.index(SECRET) :],
    f"{DASHES}BEGIN OPENSSH PRIVATE KEY{DASHES}\n{SECRET}",
    f"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t{SECRET}",
    f"redis://:{SECRET}@cache.redis.cache.windows.net:6380/0",
    f"rediss://default:{SECRET}@host",
    f"amqps://RootManage:{SECRET}%3D@ns.servicebus.windows.net",
    f"postgresql+asyncpg://user:{SECRET}@host/db?sslmode=require",
    f"mongodb://acct:{SECRET}/a+b==@acct.mongo.cosmos.azure.com:10255/?ssl=true",
    f"https://user:p@{SECRET}@host.example/x",
    f"https://{SECRET}@dev.azure.com/org/_git/repo",
    f"redis:\\/\\/:{SECRET}@host",
    f"redis%3A%2F%2F%3A{SECRET}%40host",
    f"//user:{SHORT}@host/share",
    f"curl -u admin:{SHORT} https://a.b",
    f"first http://a.b then (redis://:{SECRET}@host).",
    f"password: {SECRET}",
    f"Password : {SHORT}",
    f"pwd={SHORT};Encrypt=True",
    f"Server=tcp:s,1433;User ID=u;Password=my {SHORT} pw;Encrypt=True",
    f'Server=s;Password="a;{SHORT}";x=y',
    f"cache.net:6380,password={SECRET}=,ssl=True",
    f'"password":"{SHORT}"',
    f'"password" : "a\\"{SHORT}"',
    f"{{'password': '{SHORT}'}}",
    f'{{\\"password\\":\\"{SHORT}\\",\\"a\\":1}}',
    f'{{\\\\\\"password\\\\\\":\\\\\\"{SHORT}\\\\\\"}}',
    f'cut {{"a":1,"clientSecret":"{SHORT}',
    f'cut {{"passwords":[{{"name":"password1","value":"{SHORT}',
    f'cut {{"keys":[{{"keyName":"key1","value":"{SECRET}',
    f"\\u0022password\\u0022:\\u0022{SHORT}\\u0022",
    f"&quot;password&quot;:&quot;{SHORT}&quot;",
    f"a=%7B%22password%22%3A%22{SHORT}%22%7D",
    f"password: |\n  {SHORT}\nx: y",
    f"password:\n{SHORT}",
    f'cut {{"keys":[{{"keyName":"key1","value":"{SECRET} … (cut)',
    f"The password '{SHORT}' does not meet the requirements.",
    f"adminPassword is '{SHORT}'",
    f"the password is {SECRET}.",
    f"powershell -File x.ps1 -AdminPassword {SHORT} -Verbose",
    f"az x --account-key '{SHORT}' --name n",
    f"client-secret: {SHORT}",
    f"x-functions-key: {SHORT}",
    f"https://a.b/x password%3D{SHORT}",
    f"export DB_PASSWORD={SHORT}",
    f"password={SECRET}: refused",
    f"password={SHORT}: refused",
    f"login failed. Password: adminPassword: {SHORT}",
    f"<PrimaryKey>{SHORT}</PrimaryKey>",
    f'<add userPWD="{SHORT}" />',
    "Basic dXNlcjpodW50ZXIy",
    f"Basic {SECRET}",
    f"Authorization: Basic {SECRET}==",
    f"authorization: {SECRET}",
    f"SharedKey account:{SECRET}=",
    f"SharedKeyLite account:{SECRET}=",
    f"Bearer {SECRET}",
    f"bearer%20{SECRET}",
    f"Negotiate YII{SECRET}",
    f"%20eyJ0eXAi{SECRET}.e30.{SECRET}",
    f"eyJhbGciOiJkaXIi{SECRET}..{SECRET}.{SECRET}.{SECRET}",
    f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={SECRET}==;EndpointSuffix=x",
    f"Endpoint=sb://ns/;SharedAccessKeyName=Root;SharedAccessKey={SECRET}=;EntityPath=q",
    f"HostName=h;DeviceId=d;SharedAccessKey={SECRET}=",
    f"Endpoint=https://c.azconfig.io;Id=ab-l9;Secret={SECRET}=",
    f"the account's key {KEY_64} is wrong",
    f"whsec_{SECRET}",
    f"ghp_{SECRET}abcdefghijkl",
    f"https://hooks.slack.com/services/T0/B0/{SECRET}",
    f"fs.azure.account.key.acct.dfs.core.windows.net={SECRET}==",
]


@pytest.mark.parametrize("text", FORMS)
def test_form_shows_secret_in_text(text: str) -> None:
    redacted = redact_text(text)
    for secret in (SECRET, SHORT, KEY_64, "dXNlcjpodW50ZXIy"):
        assert secret not in redacted
    assert "[redacted]" in redacted
    assert redact_text(redacted) == redacted


@pytest.mark.parametrize("text", FORMS)
def test_form_shows_secret_at_any_depth(text: str) -> None:
    nested = json.dumps({"error": {"message": json.dumps({"inner": [text]})}})
    for value in ({"a": [text]}, [nested], {text: 1}, {"x": f"failed: {nested} (409)"}):
        redacted = json.dumps(redact(value))
        for secret in (SECRET, SHORT, KEY_64, "dXNlcjpodW50ZXIy"):
            assert secret not in redacted


@pytest.mark.parametrize(
    "text",
    [
        "Ask at https://aka.ms/ProdportalCRP/?#create/Microsoft.Support/P/%7B%22a%22:1%7D",
        "https://go.microsoft.com/fwlink/?LinkId=2082218&clcid=0x409.",
        "See https://learn.microsoft.com/azure/x?tabs=azure-cli&pivots=a#part, please.",
        "https://docs.microsoft.com/a?view=azs-2206, https://docs.python.org/3/x.html?highlight=key",
        "https://portal.azure.com/?feature.x=true#create/Microsoft.Template",
        "https://github.com/Azure/azure-cli/issues?q=is%3Aopen+token",
        "https://a.b/c? https://a.b/c?api-version=2024-10-01&view=full",
        "https://host:8443/users/a@b.com https://graph.microsoft.com/v1.0/users/a@b.com/messages",
        "abfss://container@account.dfs.core.windows.net/path ssh://git@github.com/x",
        "http://[::1]:8080/a@b git@github.com:x mailto:a@b.com https://me@github.com/x",
        "Bearer authentication is required.",
        'WWW-Authenticate: Bearer authorization_uri="https://login.windows.net/t", error="invalid"',
        "Basic authentication is disabled; the Basic C1 and Basic Standard tiers",
        "The token is invalid. Unexpected token: '}' in JSON at position 4. Token expired.",
        "Invalid key: expected 'value'. The key 'primary' was not found. Key=abc",
        "Invalid password: must have 12 characters. The password is too short.",
        "The supplied password must be between 8-123 characters long.",
        "The secret 'db-connection' was not found in this key vault. Secret: required",
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/v/secrets/password",
        "vaults/v/secrets/password/0123456789abcdef0123456789abcdef",
        "Could not load assembly 'X, Culture=neutral, PublicKeyToken=b03f5f7f11d50a3a'",
        "PartitionKey=abc, RowKey=def, SharedAccessKeyName=RootManageSharedAccessKey;EntityPath=q",
        "InstrumentationKey=00000000-0b6c-4b9c-a5d4-9e1c3b2a7f10;IngestionEndpoint=https://x/",
        "design=1 assignment=abc signature of the method. Pass: 5, fail: 1",
        "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIC\n-----END PUBLIC KEY-----",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ me@host",
        "authentication failed at 2026-11-26T03:11:03Z, id 0123456789abcdef0123456789abcdef",
        '{ "code" : "Conflict", "keyType": "RSA" }',
        "Run az login --tenant t; authorization: failed for client 'x' with object id 'y'",
        "primaryKeyJsonPath monkeyJumpedOver",
        "",
    ],
)  # fmt: skip
def test_harmless_text_stays(text: str) -> None:
    assert redact_text(text) == text


def test_url_keeps_everything_but_its_secrets() -> None:
    text = f"(https://u:{SECRET}@a.b:8443/c/d?x={SECRET}#e), then 'https://a.b/c?y={SECRET}'."
    expected = "(https://[redacted]@a.b:8443/c/d?[redacted]#e), then 'https://a.b/c?[redacted]'."
    assert redact_text(text) == expected


def test_json_in_text_keeps_its_other_members() -> None:
    text = f'failed: {{"code":"X","keys":[{{"keyName":"a","value":"{SHORT}"}}]}} (409)'
    expected = 'failed: {"code":"X","keys":[{"keyName":"a","value":"[redacted]"}]} (409)'
    assert redact_text(text) == expected


# --- any input


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
PIECES = st.lists(
    st.sampled_from(
        ['"', "'", "\\", "{", "[", "}", "]", ":", "=", "password", "key", "sig=", "://", "@", "?",
         "#", "Basic ", "Bearer ", BEGIN, "eyJ", " ", ";", ",", "&", "<", ">",
         "value", "[redacted]", "a", "9", "%3D", "\n", "is "]
    )
    | st.text(max_size=5)
).map("".join)  # fmt: skip


@given(PIECES)
def test_redacting_text_twice_changes_nothing(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


@given(JSON)
def test_redacting_value_keeps_it_json(value: Any) -> None:
    json.loads(json.dumps(redact(value)))


def test_deep_values_and_texts_are_redacted() -> None:
    value: Any = {"password": SECRET}
    for _ in range(3):  # JSON in a text of JSON in a text
        for _ in range(MAX_DEPTH // 3):
            value = [value]
        value = json.dumps(value)
    assert SECRET not in redact_text(value)
    deep: Any = f'["sig={SECRET}"]'
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert SECRET not in json.dumps(redact(from_json(json.dumps(deep))))
    assert "[redacted]" in redact_text("[" * 100_000 + f"sig={SECRET}")


SHAPES = [
    "a.", "eyJ-", "eyJaaaaaaaa.", "a://", "a://b?", "a://b:c", "a://b:c@", "x://a:b/@", "a", "Key",
    " ", "\n", "\\", '"', "'", "{", "[", '{"', '["', '[{"a":"', '{"a":x', "{}", "[1", "sig=",
    "sig%3D", "password=", "password ", "password:", "password=a,b", "password=a ;",
    "password=\\\\",
    "'password':'", '"password":\\"', "Password is ", "--key ", "Bearer ", "Bearer .", "Basic YTpi",
    "auth: Basic ", "authorization: Bearer ", "SharedKey a:", "-----BEGIN A-----",
    "-----BEGIN A PRIVATE KEY", "-----END PRIVATE ", "%3A%2F%2F", "%3A%2F%2Fa%3A", "<a ", "<a>b",
    "LS0tLS1CRUdJTiB", "A" * 86, "aaa1Q~", "&s=aaaaaaaaaaaaaaaaaaaaa", "/api/webhooks/", '{"{\\"',
    "https://docs.a/?a&", "\u017f",
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_time_grows_with_length_alone(shape: str) -> None:
    def seconds(length: int) -> float:
        text = (shape * (length // len(shape) + 1))[:length]
        begun = time.process_time()
        redact_text(text)
        return time.process_time() - begun

    # Sixteen times the length: a quadratic time would grow by 256. The machine may be busy once.
    short = max(0.001, min(seconds(8_000) for _ in range(3)))
    assert any(seconds(128_000) < 80 * short for _ in range(2))
