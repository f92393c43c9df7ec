"""Which callback URLs and addresses are permitted: cases, and properties of any input."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opswatch.core.callback_policy import CallbackRules, CallbackTarget, is_loopback_host

PUBLIC = CallbackRules()
LOOPBACK = CallbackRules(networks=(ip_network("127.0.0.0/8"),))
EVERYTHING = CallbackRules(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))

SPECIAL = {
    "unspecified": ["0.0.0.0", "0.255.255.255", "::"],  # noqa: S104
    "loopback": ["127.0.0.1", "127.255.255.255", "::1"],
    "private": [
        "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.100.100.200",
        "100.127.255.255", "fc00::1", "fd12:3456::1", "fec0::1",
    ],
    "link-local": ["169.254.0.1", "169.254.169.253", "fe80::1", "febf::1"],
    "metadata": ["169.254.169.254", "fd00:ec2::254"],
    "wireserver": ["168.63.129.16"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": [
        "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1",
        "192.175.48.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1",
        "255.255.255.255", "100::1", "100:0:0:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1",
        "2001:10::1", "2001:20::1", "2001:30::1", "2001:db8::1", "2620:4f:8000::1", "3fff::1",
        "5f00::1", "200::1", "4000::1", "e000::1",
    ],
    "embedded-ipv4": [
        "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:7f00:1",
        "::ffff:0:808:808", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1",
        "64:ff9b:1:a00:0:100::", "2002:7f00:1::1", "2002:808:808::1", "2001:0:808:808::1",
        "2606:4700::5efe:a00:1", "2606:4700::200:5efe:808:808", "2606:4700::300:5efe:808:808",
    ],
    "not-an-address": [
        "", "localhost", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1 ",
        "127.0.0.1.", "[::1]", "::g", "1.2.3.4.5", "١٢٧.0.0.1",
    ],
    "zone-id": ["fe80::1%eth0", "::1%1", "2606:4700::1111%eth0", "fd00:ec2::254%1"],
}  # fmt: skip
ORDINARY = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "128.0.0.1", "168.63.129.15", "168.63.129.17", "169.253.0.1", "172.15.255.255", "172.32.0.0",
    "192.0.1.1", "192.167.255.255", "192.169.0.0", "198.17.0.1", "198.20.0.1", "223.255.255.255",
    "2000::1", "2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111",
    "2a01:111::1", "3fff:1000::1",
]  # fmt: skip
NEVER = ["169.254.169.254", "168.63.129.16"]

# Every form in which an IPv6 address embeds an IPv4 address: the prefix and the octets' places.
EMBEDDINGS: dict[str, Callable[[bytes], bytes]] = {
    "compatible": lambda v4: bytes(12) + v4,
    "mapped": lambda v4: bytes(10) + b"\xff\xff" + v4,
    "translated": lambda v4: bytes(8) + b"\xff\xff\0\0" + v4,
    "NAT64": lambda v4: bytes.fromhex("0064ff9b") + bytes(8) + v4,
    "NAT64 /48": lambda v4: bytes.fromhex("0064ff9b0001") + v4[:2] + b"\0" + v4[2:] + bytes(5),
    "NAT64 /56": lambda v4: bytes.fromhex("0064ff9b000142") + v4[:1] + b"\0" + v4[1:] + bytes(4),
    "NAT64 /64": lambda v4: bytes.fromhex("0064ff9b00014242") + b"\0" + v4 + bytes(3),
    "NAT64 /96": lambda v4: bytes.fromhex("0064ff9b0001") + bytes(6) + v4,
    "6to4": lambda v4: b"\x20\x02" + v4 + bytes(10),
    "Teredo's server": lambda v4: bytes.fromhex("20010000") + v4 + bytes(8),
    "Teredo's client": lambda v4: bytes.fromhex("20010000") + bytes(8) + bytes(b ^ 255 for b in v4),
    "ISATAP": lambda v4: bytes.fromhex("2606470000000000") + bytes.fromhex("00005efe") + v4,
}
# A network-specific translation prefix (RFC 6052 2.2), which only the operator knows.
OWN_PREFIXES: dict[str, Callable[[bytes], bytes]] = {
    "/32": lambda v4: bytes.fromhex("2a012345") + v4 + bytes(8),
    "/40": lambda v4: bytes.fromhex("2a01234567") + v4[:3] + b"\0" + v4[3:] + bytes(6),
    "/96": lambda v4: bytes.fromhex("2a0123456789abcd") + bytes(4) + v4,
}

ANY_IPV4 = st.ip_addresses(v=4) | st.sampled_from([IPv4Address(text) for text in NEVER])


@pytest.mark.parametrize(
    ("address", "reason"),
    [(address, reason) for reason, addresses in SPECIAL.items() for address in addresses],
)
def test_special_address_is_refused_by_name(address: str, reason: str) -> None:
    assert PUBLIC.verdict(address, scheme="https") == reason
    assert PUBLIC.verdict(address, scheme="http") == reason


@pytest.mark.parametrize("address", ORDINARY)
def test_public_address_needs_https(address: str) -> None:
    assert PUBLIC.verdict(address, scheme="https") is None
    assert PUBLIC.verdict(address, scheme="http") == "plain-http"
    assert LOOPBACK.verdict(address, scheme="http") == "plain-http"


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_permitted_network_permits_nothing_else(scheme: str) -> None:
    assert LOOPBACK.verdict("127.0.0.1", scheme=scheme) is None
    assert LOOPBACK.verdict("127.9.9.9", scheme=scheme) is None
    assert LOOPBACK.verdict("::1", scheme=scheme) == "loopback"
    assert LOOPBACK.verdict("::ffff:127.0.0.1", scheme=scheme) == "embedded-ipv4"
    assert LOOPBACK.verdict("10.0.0.1", scheme=scheme) == "private"


def test_permitted_network_may_hold_embeddings() -> None:
    rules = CallbackRules(networks=(ip_network("64:ff9b::/96"),))
    assert rules.verdict("64:ff9b::a00:1", scheme="https") is None
    assert rules.verdict("64:ff9b::a9fe:a9fe", scheme="https") == "metadata"
    assert rules.verdict("10.0.0.1", scheme="https") == "private"


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "168.63.129.16"])
def test_metadata_and_wireserver_are_always_refused(address: str) -> None:
    assert EVERYTHING.verdict(address, scheme="https") in ("metadata", "wireserver")


@pytest.mark.parametrize("form", [*EMBEDDINGS, *OWN_PREFIXES])
@pytest.mark.parametrize("address", NEVER)
def test_embedded_metadata_is_always_refused(form: str, address: str) -> None:
    embed = (EMBEDDINGS | OWN_PREFIXES)[form]
    carrier = str(IPv6Address(embed(IPv4Address(address).packed)))
    for rules in (PUBLIC, EVERYTHING):
        assert rules.verdict(carrier, scheme="https") in ("metadata", "wireserver")


@given(form=st.sampled_from(sorted(EMBEDDINGS)), inner=ANY_IPV4)
def test_any_embedded_ipv4_address_is_refused(form: str, inner: IPv4Address) -> None:
    carrier = IPv6Address(EMBEDDINGS[form](inner.packed))
    assert PUBLIC.verdict(str(carrier), scheme="https") is not None


@given(st.ip_addresses())
def test_any_permitted_address_is_global_to_python(ip: IPv4Address | IPv6Address) -> None:
    if PUBLIC.verdict(str(ip), scheme="https") is None:
        assert ip.is_global
        assert not ip.is_multicast


@given(st.ip_addresses())
def test_permitted_network_changes_no_other_verdict(ip: IPv4Address | IPv6Address) -> None:
    if ip not in ip_network("127.0.0.0/8"):
        assert LOOPBACK.verdict(str(ip), scheme="https") == PUBLIC.verdict(str(ip), scheme="https")


@given(st.ip_addresses())
def test_every_spelling_has_one_verdict(ip: IPv4Address | IPv6Address) -> None:
    spellings = {str(ip), ip.exploded, str(ip).upper()}
    assert len({PUBLIC.verdict(text, scheme="https") for text in spellings}) == 1


@given(st.text(), st.sampled_from(["https", "http", "ftp"]))
def test_verdict_never_raises(text: str, scheme: str) -> None:
    assert PUBLIC.verdict(text, scheme=scheme) is not None or ip_address(text).is_global


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True), ("LocalHost", True), ("localhost.", True), ("arm.localhost", True),
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0:0:0:0:0:0:0:1", True),
        ("", False), ("localhost.example.com", False), ("notlocalhost", False), ("0.0.0.1", False),
        ("128.0.0.1", False), ("127.1", False), ("2130706433", False), ("::ffff:127.0.0.1", False),
        ("::2", False), ("127.0.0.1.nip.io", False), ("management.azure.com", False),
    ],
)  # fmt: skip
def test_loopback_host_is_recognized(host: str, expected: bool) -> None:
    assert is_loopback_host(host) is expected


# --- URLs


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM/Hook?Q=1", "https://example.com/Hook?Q=1"),
        ("https://example.com:443/", "https://example.com:443/"),
        ("https://a_b.example:8443/?x", "https://a_b.example:8443/?x"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://Ⓔⓧⓐⓜⓟⓛⓔ。com/", "https://example.com/"),
        ("https://🄴xample.com/", "https://example.com/"),
        ("https://日本語.jp/", "https://xn--wgv71a119e.jp/"),
        ("https://[2606:4700:0::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://h.example/a/../b//c/%2e?x=%zz&y='\"<>`|;", None),
    ],
)
def test_target_has_its_host_in_ascii(url: str, sent: str | None) -> None:
    assert PUBLIC.refusal(url) is None
    assert CallbackTarget.parse(url).url == (sent or url)


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("", "absolute"),
        ("example.com/hook", "absolute"),
        ("//example.com/hook", "absolute"),
        ("https:example.com", "absolute"),
        ("https:/example.com", "absolute"),
        ("ftp://example.com/", "not https"),
        ("javascript://example.com/%0aalert(1)", "not https"),
        ("file:///etc/passwd", "no host"),
        ("http://example.com/", "http is for"),
        ("https://", "no host"),
        ("https:///hook", "no host"),
        ("https://:8443/hook", "no host"),
        ("https://example.com:/", "cannot be read"),
        ("https://example.com:abc/", "cannot be read"),
        ("https://example.com:-1/", "cannot be read"),
        ("https://example.com:٤٤٣/", "cannot be read"),
        ("https://example.com:443:8443/", "cannot be read"),
        ("https://example.com:0/", "port 0 "),
        ("https://example.com:80/", "port 80 "),
        ("https://example.com:22/", "port 22 "),
        ("https://example.com:1023/", "port 1023 "),
        ("https://example.com:65536/", "port 65536 "),
        ("https://example.com/#top", "fragment"),
        ("https://example.com/#", "fragment"),
        ("https://user@example.com/", "user info"),
        ("https://example.com/ö", "percent-encode"),
        ("https://example.com/?q=\u2028", "percent-encode"),
        ("https://straße.example/", "ASCII form"),
        ("https://xn--é.example/", "international"),
        ("https://" + "a" * 64 + ".example/", "plain"),
        ("https://" + "a." * 127 + "example/", "plain"),
        ("https://example.com/" + "a" * 2048, "longer"),
    ],
)
def test_refusal_names_the_fault(url: str, detail: str) -> None:
    refusal = PUBLIC.refusal(url)
    assert refusal is not None
    assert detail in refusal
    assert "\n" not in refusal


def test_longest_url_has_2048_characters() -> None:
    url = "https://example.com/".ljust(2048, "a")
    assert PUBLIC.refusal(url) is None
    assert PUBLIC.refusal(url + "a") is not None


@pytest.mark.parametrize("port", ["", ":443", ":1024", ":7071", ":65535"])
def test_port_is_443_or_unprivileged(port: str) -> None:
    assert PUBLIC.refusal(f"https://example.com{port}/") is None


def test_http_needs_a_permitted_network() -> None:
    assert LOOPBACK.refusal("http://127.0.0.1/") is None
    assert LOOPBACK.refusal("http://127.0.0.1:80/") is None
    assert LOOPBACK.refusal("http://127.0.0.1:443/") is None
    assert LOOPBACK.refusal("https://127.0.0.1:80/") is not None
    assert LOOPBACK.refusal("http://127.0.0.1:8080/") is None
    assert LOOPBACK.refusal("http://8.8.8.8/") is not None
    assert LOOPBACK.refusal("http://receiver.example/") is None  # its addresses decide


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "hooks.localhost"])
def test_localhost_needs_a_loopback_network(host: str) -> None:
    only_six = CallbackRules(networks=(ip_network("::1/128"),))
    elsewhere = CallbackRules(networks=(ip_network("10.0.0.0/8"),))
    assert PUBLIC.refusal(f"https://{host}:8443/") is not None
    assert elsewhere.refusal(f"http://{host}:8443/") is not None
    assert LOOPBACK.refusal(f"http://{host}:8080/") is None
    assert only_six.refusal(f"http://{host}:8080/") is None
    assert EVERYTHING.refusal(f"http://{host}:8080/") is None


@pytest.mark.parametrize(
    ("pattern", "host", "permitted"),
    [
        ("*.example.com", "hooks.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evil-example.com", False),
        ("*.example.com", "hooks.example.com.evil.net", False),
        ("example.com", "EXAMPLE.com", True),
        ("example.com", "example.com.evil.net", False),
        ("example.com", "evil-example.com", False),
        ("example.com", "hooks.example.com", False),
        ("*", "anything.example", True),
        ("*", "127.0.0.1", False),
        ("8.8.8.*", "8.8.8.8", True),
        ("xn--bcher-kva.example", "bücher.example", True),
    ],
)
def test_host_must_match_a_pattern(pattern: str, host: str, permitted: bool) -> None:
    rules = CallbackRules(hosts=("first.example", pattern))
    assert (rules.refusal(f"https://{host}/hook") is None) is permitted


# Texts that are nearly URLs, which random text never is.
NEARLY_URLS = st.lists(
    st.sampled_from(
        [
            "https", "http", "://", "/", "\\", "?", "#", "@", ":", ".", "%", "[", "]", "*", " ",
            "::1", "127.0.0.1", "0x7f", "2130706433", "example", "com", "localhost", "8443", "443",
            "\t", "xn--", "é", "ß", "。", "①", "⓪", "\uff0f", "℀", "\u200d", "\u00ad", "\ud800",
            "\x00", "\r\n", "a" * 64,
        ]
    )
    | st.characters(),
    max_size=12,
).map("".join)  # fmt: skip


@given(NEARLY_URLS | NEARLY_URLS.map("https://".__add__) | st.text())
@example("https://xn--é")  # AttributeError inside the idna codec of newer CPythons
def test_refusal_never_raises(url: str) -> None:
    for rules in (PUBLIC, LOOPBACK, EVERYTHING):
        refusal = rules.refusal(url)
        assert refusal is None or refusal


@given(NEARLY_URLS.map("https://".__add__))
def test_target_survives_its_url(url: str) -> None:
    if PUBLIC.refusal(url) is None:
        target = CallbackTarget.parse(url)
        assert target.url.isascii()
        assert CallbackTarget.parse(target.url) == target
        assert PUBLIC.refusal(target.url) is None


@given(st.ip_addresses())
def test_literal_address_is_judged_as_when_connecting(ip: IPv4Address | IPv6Address) -> None:
    host = str(ip) if ip.version == 4 else f"[{ip}]"
    for rules in (PUBLIC, LOOPBACK, EVERYTHING):
        refused = rules.refusal(f"https://{host}/") is not None
        assert refused is (rules.verdict(str(ip), scheme="https") is not None)
