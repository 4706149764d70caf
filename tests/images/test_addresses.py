"""Which addresses may be dialled."""

import pytest
from app.images.addresses import is_allowed, refusal

PUBLIC = ["8.8.8.8", "93.184.216.34", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001:81b::200e"]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fc00::1",
    "fd12::1",
]
METADATA = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254",
            "fd20:ce::254", "fe80::1", "fd00:ec2::23", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1",
            "fd00:100::100:200", "fe80::a9fe:a9fe", "169.254.42.42", "169.254.0.23"]  # fmt: skip
OTHERS = [
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.9",
    "2001:10::1",
    "100::1",
    "4000::1",
    "::",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "ff02::1",
    "ff0e::1",
    "fec0::1",
    "2001:db8::1",
    "3fff::1",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:53aa:64c:0:fbff:80ff:fffe",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(address, private=False)
    assert is_allowed(address, private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_allowed_only_where_private_networks_are(address: str) -> None:
    assert not is_allowed(address, private=False)
    assert is_allowed(address, private=True)


@pytest.mark.parametrize("address", METADATA)
def test_what_clouds_tell_their_own_machines_is_never_allowed(address: str) -> None:
    assert not is_allowed(address, private=False)
    assert not is_allowed(address, private=True)


@pytest.mark.parametrize("address", OTHERS)
def test_no_other_address_is_allowed(address: str) -> None:
    assert not is_allowed(address, private=False)


@pytest.mark.parametrize("address", OTHERS)
def test_private_networks_open_no_other_address(address: str) -> None:
    assert not is_allowed(address, private=True)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1", "loopback"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "carrier-grade"),
        ("100.100.100.200", "metadata"),
        ("169.254.169.254", "metadata"),
        ("169.254.1.1", "link-local"),
        ("0.0.0.0", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("192.0.2.1", "documentation"),
        ("::ffff:8.8.8.8", "embedded"),
        ("2001:0:1::1", "embedded"),
        ("255.255.255.255", "reserved"),
        ("4000::1", "reserved"),
        ("8.8.8.8", None),
    ],
)
def test_a_refusal_names_the_class_of_the_address(address: str, name: str | None) -> None:
    assert refusal(address, private=False) == name
