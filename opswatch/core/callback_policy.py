"""Where callbacks may go: checks URLs at registration, and addresses at connection.

Nothing here resolves a name: its addresses are known only when a connection is made.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

MAX_URL_LENGTH = 2048
_UNPRIVILEGED_PORTS = range(1024, 65536)

# Refused with any settings, and in every IPv6 address that carries them.
# https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service
# https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
_NEVER = {
    ip_address("169.254.169.254"): "metadata",
    ip_address("fd00:ec2::254"): "metadata",
    ip_address("168.63.129.16"): "wireserver",
}

# Everything but the public Internet; the first match gives the reason. `ipaddress.is_global`
# differs between Python's versions and calls 64:ff9b::7f00:1 global. All of IANA's special-purpose
# registries is here, also globally reachable networks: AS112 and AMT serve no callbacks.
# https://www.iana.org/assignments/iana-ipv4-special-registry
# https://www.iana.org/assignments/iana-ipv6-special-registry
_SPECIAL = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),  # RFC 791 3.2: Linux takes 0.0.0.0 for loopback
        ("10.0.0.0/8", "private"),  # RFC 1918
        ("100.64.0.0/10", "private"),  # RFC 6598: carriers' NAT
        ("127.0.0.0/8", "loopback"),  # RFC 1122 3.2.1.3
        ("169.254.0.0/16", "link-local"),  # RFC 3927
        ("172.16.0.0/12", "private"),  # RFC 1918
        ("192.0.0.0/24", "reserved"),  # RFC 6890: protocol assignments
        ("192.0.2.0/24", "reserved"),  # RFC 5737: documentation
        ("192.31.196.0/24", "reserved"),  # RFC 7535: AS112
        ("192.52.193.0/24", "reserved"),  # RFC 7450: AMT
        ("192.88.99.0/24", "reserved"),  # RFC 7526: 6to4 relays
        ("192.168.0.0/16", "private"),  # RFC 1918
        ("192.175.48.0/24", "reserved"),  # RFC 7534: AS112
        ("198.18.0.0/15", "reserved"),  # RFC 2544: benchmarks
        ("198.51.100.0/24", "reserved"),  # RFC 5737: documentation
        ("203.0.113.0/24", "reserved"),  # RFC 5737: documentation
        ("224.0.0.0/4", "multicast"),  # RFC 5771
        ("240.0.0.0/4", "reserved"),  # RFC 1112 4, and broadcast
        ("::/128", "unspecified"),  # RFC 4291 2.5.2
        ("::1/128", "loopback"),  # RFC 4291 2.5.3
        ("::/96", "embedded-ipv4"),  # RFC 4291 2.5.5.1: compatible
        ("::ffff:0:0/96", "embedded-ipv4"),  # RFC 4291 2.5.5.2: mapped
        ("::ffff:0:0:0/96", "embedded-ipv4"),  # RFC 2765 2.1: translated
        ("64:ff9b::/96", "embedded-ipv4"),  # RFC 6052 2.1: NAT64
        ("64:ff9b:1::/48", "embedded-ipv4"),  # RFC 8215: NAT64
        ("2001::/32", "embedded-ipv4"),  # RFC 4380 4: Teredo
        ("2002::/16", "embedded-ipv4"),  # RFC 3056 2: 6to4
        ("fe80::/10", "link-local"),  # RFC 4291 2.5.6
        ("fec0::/10", "private"),  # RFC 3879: site-local
        ("fc00::/7", "private"),  # RFC 4193
        ("ff00::/8", "multicast"),  # RFC 4291 2.7
        ("2001::/23", "reserved"),  # RFC 2928: protocol assignments
        ("2001:db8::/32", "reserved"),  # RFC 3849: documentation
        ("2620:4f:8000::/48", "reserved"),  # RFC 7534: AS112
        ("3fff::/20", "reserved"),  # RFC 9637: documentation
    )
)
# Everything that IANA has allocated: https://www.iana.org/assignments/ipv6-address-space
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<tail>[^#]*)(?P<fragment>#.*)?"
)
_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[^]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
# A host whose last label is a number is an IPv4 address: https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
# IDNA 2003, which the standard library implements, maps these to other names than IDNA 2008.
# https://www.unicode.org/reports/tr46/#Table_Deviation_Characters
_DEVIATIONS = re.compile("[\u00df\u1e9e\u03c2\u200c\u200d]")


def is_loopback_host(host: str) -> bool:
    """Return whether `host` (no brackets, no port) is this machine by its name.

    Names: RFC 6761 6.3. Addresses: 127.0.0.0/8 (in the usual form alone) and ::1.
    """
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _LOOPBACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackTarget:
    """A callback URL taken apart so that no two readers can differ on its host."""

    scheme: str
    host: str  # a name in ASCII and lower case, or an IP address without brackets
    port: int | None
    tail: str  # path and query, as given

    @classmethod
    def parse(cls, url: str) -> "CallbackTarget":
        """Take `url` apart; raise `ValueError` with a sentence that says what is wrong with it."""
        if len(url) > MAX_URL_LENGTH:
            raise ValueError(f"the callback URL is longer than {MAX_URL_LENGTH} characters")
        # Browsers read `\` as `/`, RFC 3986 as part of the host; the others end a request line.
        if re.search(r"[\x00-\x20\x7f-\x9f\\]", url):
            raise ValueError(
                "the callback URL holds white space, a control character or a backslash"
            )
        parts = _URL.fullmatch(url)
        if parts is None:
            raise ValueError("the callback URL is not an absolute https URL")
        if parts["fragment"] is not None:
            raise ValueError("the callback URL holds a fragment (#…)")
        if not parts["tail"].isascii():
            raise ValueError("the callback URL's path or query is not ASCII: percent-encode it")
        if "@" in parts["authority"]:
            raise ValueError("the callback URL holds user info")
        authority = _AUTHORITY.fullmatch(parts["authority"])
        if authority is None:
            raise ValueError("the callback URL's host and port cannot be read")
        ipv6, name, port = authority.group("ipv6", "name", "port")
        return cls(
            scheme=parts["scheme"].lower(),
            host=_parse_name(name) if ipv6 is None else _parse_ipv6(ipv6),
            port=int(port) if port else None,
            tail=parts["tail"],
        )

    @property
    def url(self) -> str:
        """The URL in ASCII: as given, except for the host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.tail}"

    @property
    def address(self) -> str | None:
        """The host, if it is an address that needs no resolving."""
        return self.host if ":" in self.host or _NUMERIC.fullmatch(self.host) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRules:
    """What the operator permits: a URL has to pass twice, by its host and by its addresses."""

    hosts: tuple[str, ...] = ()  # lower-case patterns; `*` spans dots; empty: any host
    networks: tuple[IPv4Network | IPv6Network, ...] = ()  # besides public addresses; may use http

    def refusal(self, url: str) -> str | None:
        """Return in a sentence why `url` cannot be registered; None if it can.

        A name is not resolved: `verdict` decides on each of its addresses.
        """
        try:
            target = CallbackTarget.parse(url)
        except ValueError as error:
            return str(error)
        if target.scheme not in ("https", "http"):
            return "the callback URL is not https"
        if target.scheme == "http" and not self.networks:
            return "the callback URL is http; http is for the networks that settings permit"
        usual = (None, 443) if target.scheme == "https" else (None, 80, 443)
        if target.port not in usual and target.port not in _UNPRIVILEGED_PORTS:
            return f"the callback URL's port {target.port} is neither 443 nor from 1024 to 65535"
        host = target.host
        if target.address is not None:
            if reason := self.verdict(target.address, scheme=target.scheme):
                return f"the callback address {host} is not permitted: {reason}"
        elif is_loopback_host(host) and not any(
            network.overlaps(loopback) for network in self.networks for loopback in _LOOPBACK
        ):
            return f"the callback host {host} is not permitted: loopback"
        if self.hosts and not any(fnmatchcase(host, pattern) for pattern in self.hosts):
            return f"the callback host {host} matches none of the host patterns that are permitted"
        return None

    def verdict(self, address: str, *, scheme: str) -> str | None:
        """Return the reason why `address`, as a socket takes it, is refused; None if it is not.

        An IPv6 address that carries an IPv4 address is refused for any IPv4 address, unless a
        permitted network holds the IPv6 address itself.
        """
        try:
            ip = ip_address(address)
        except ValueError:
            return "not-an-address"
        if "%" in address:
            return "zone-id"
        carried = _carried(ip) if isinstance(ip, IPv6Address) else ()
        for candidate in (ip, *carried):
            if candidate in _NEVER:
                return _NEVER[candidate]
        if any(ip in network for network in self.networks):
            return None
        return _not_public(ip) or (None if scheme == "https" else "plain-http")


def _parse_ipv6(text: str) -> str:
    if "%" in text:  # RFC 6874: a zone has a meaning on this machine only
        raise ValueError("the callback URL's host holds a zone id")
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ValueError("the callback URL's host is not an IPv6 address") from None


def _parse_name(text: str) -> str:
    """Return the host `text`, a name or an IPv4 address, in ASCII and lower case.

    An international name is converted as near to UTS 46 as the standard library goes. 2130706433,
    0x7f.1, 0177.0.0.1 and 127.1 are addresses to `inet_aton` and names or nothing to other readers
    (RFC 6943 3.1.1), so none of these forms is accepted.
    """
    if not text:
        raise ValueError("the callback URL has no host")
    name = text.lower()
    if not text.isascii():
        if _DEVIATIONS.search(text):
            raise ValueError(
                "the callback URL's host needs to be written in its ASCII form (xn--…)"
            )
        try:
            name = unicodedata.normalize("NFKC", text).encode("idna").decode("ascii").lower()
        except (UnicodeError, AttributeError):  # the latter: newer CPythons on xn--é
            raise ValueError("the callback URL's host is not a valid international name") from None
    if not _NAME.fullmatch(name):
        raise ValueError("the callback URL's host is not a plain host name")
    if not _NUMERIC.fullmatch(name):
        return name
    try:
        return str(IPv4Address(name))
    except ValueError:
        raise ValueError(
            f"the callback URL's host {name} is not an IPv4 address in the form 203.0.113.7"
        ) from None


def _not_public(ip: IPv4Address | IPv6Address) -> str | None:
    """Return why `ip` is not an address of the public Internet; None if it is one."""
    for network, reason in _SPECIAL:
        if ip in network:
            return reason
    if isinstance(ip, IPv4Address):
        return None
    if ip not in _GLOBAL_UNICAST:
        return "reserved"
    # RFC 5214 6.1: ISATAP's interface identifier, with any universal and group bits.
    return "embedded-ipv4" if int(ip) >> 32 & 0xFCFFFFFF == 0x5EFE else None  # noqa: PLR2004


def _carried(ip: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that `ip` would carry in each of the embedding forms.

    Prefixes are ignored, because any network may translate under its own prefix.
    """
    # RFC 6052 2.2: after a prefix of 32 to 96 bits, octet 8 left out. The last place is that of
    # the mapped, compatible, translated and ISATAP forms; the first, of Teredo's server.
    octets = ip.packed[:8] + ip.packed[9:]
    for start in (4, 5, 6, 7, 8, 11):
        yield IPv4Address(octets[start : start + 4])
    yield IPv4Address(ip.packed[2:6])  # RFC 3056 2: 6to4
    yield IPv4Address(bytes(octet ^ 0xFF for octet in ip.packed[12:]))  # RFC 4380 4: Teredo
