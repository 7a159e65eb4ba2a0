"""A request goes to public addresses; on the operator's word to the house; to where credentials are handed out, never."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstock.core.addresses import refusal

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"]
HOUSE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "::1", "fd12::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
]  # fmt: skip
NEVER = [
    "0.0.0.0",  # noqa: S104 - a value
    "0.1.2.3", "169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "fe80::1", "fe80::1%eth0", "ff02::1", "fd00:ec2::254",
    "::ffff:169.254.169.254", "::ffff:0.0.0.0", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001::1", "2002:7f00:1::",
    "::169.254.169.254", "not an address", "127.1", "0x7f000001", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_taken(address: str) -> None:
    assert refusal(address, is_allowed=False) is None


@pytest.mark.parametrize("address", HOUSE)
def test_the_house_is_taken_on_the_operators_word_only(address: str) -> None:
    assert refusal(address, is_allowed=False) is not None
    assert refusal(address, is_allowed=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_taken(address: str) -> None:
    assert refusal(address, is_allowed=False) is not None
    assert refusal(address, is_allowed=True) is not None


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_an_address_is_judged_the_same_in_every_clothing(number: int, is_allowed: bool) -> None:
    plain = IPv4Address(number)
    clothed = f"::ffff:{plain}"
    assert (refusal(str(plain), is_allowed=is_allowed) is None) == (
        refusal(clothed, is_allowed=is_allowed) is None
    )
