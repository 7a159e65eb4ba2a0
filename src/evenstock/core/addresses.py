"""Which addresses a request of ours may go to: the public ones; on an operator's word also those of the house.

What a system is called and where that name leads is data that others control, so it is judged by the address itself, after the
name was looked up, in every notation that leads to an IPv4 address.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Nobody's system is there; machines in data centres hand out credentials there.
NEVER: Final = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",  # link-local, and the metadata service of most clouds
    "100.100.100.200/32",  # metadata of Alibaba
    "168.63.129.16/32",  # of Azure
    "192.0.0.192/32",  # of Oracle
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "fe80::/10",
    "ff00::/8",
    "fd00:ec2::/32",  # metadata of Amazon
    "64:ff9b::/96",  # ways to an IPv4 address around this table
    "64:ff9b:1::/48",
    "2001::/32",
    "2002::/16",
)
HOUSE: Final = _networks(
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "::1/128",
    "fc00::/7",
    "fec0::/10",
)
_OLD_FORM: Final = ip_network("::/96")  # IPv4 written as IPv6, before ::ffff:


def refusal(text: str, *, is_allowed: bool) -> str | None:
    """Why no request may go to this address, in words; None where it may. `is_allowed`: the operator named its host and port."""
    try:
        address = _plain(ip_address(text))
    except ValueError:
        return f"{text} is not an address."
    if _within(address, NEVER):
        return f"{address} is never a system's address."
    if is_allowed:
        return None
    if _within(address, HOUSE) or not address.is_global:
        return f"{address} is not a public address, and the operator has not allowed the host."
    return None


def _plain(address: Address) -> Address:
    """An IPv4 address in the clothes of IPv6 is the IPv4 address."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _OLD_FORM and int(address) > 1:
        return IPv4Address(int(address))
    return address


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
