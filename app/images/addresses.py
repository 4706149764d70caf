"""Which addresses an image may be fetched from."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


# Classes of addresses that aren't the public internet, the first that matches. What is in none of them still has to be
# global. Where Python's own `is_global` knows better in some versions than in others, the network stands here.
CLASSES: dict[str, tuple[Network, ...]] = {
    # What a cloud tells its own machines, credentials included.
    "metadata": _networks(
        "169.254.169.254/32",  # nearly all clouds; the rest of link-local is below
        "169.254.170.0/24",  # AWS, for containers
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's wire server, in a public range
        "192.0.0.192/32",  # Oracle
        "fd00:ec2::/32",  # AWS
        "fd20:ce::/32",  # Google
        "fd00:c1::a9fe:a9fe/128",  # Oracle
        "fd00:42::42/128",  # Scaleway
        "fd00:a9fe:a9fe::/48",  # Akamai
        "fd00:100::100:200/128",  # Alibaba
    ),
    "link-local": _networks("169.254.0.0/16", "fe80::/10"),
    "unspecified": _networks("0.0.0.0/8", "::/128"),
    "loopback": _networks("127.0.0.0/8", "::1/128"),
    "private": _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    "carrier-grade": _networks("100.64.0.0/10"),
    "multicast": _networks("224.0.0.0/4", "ff00::/8"),
    "documentation": _networks("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    # Mapped, translated, compatible; NAT64; Teredo; 6to4.
    "embedded": _networks("::/32", "64:ff9b::/32", "2001::/32", "2002::/16"),
    "reserved": _networks("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4", "2001::/23", "fec0::/10"),
}
# What ALLOW_PRIVATE_NETWORKS opens.
OPENED = ("loopback", "private", "carrier-grade")
# The only addresses of version 6 that the public internet uses.
PUBLIC_V6 = IPv6Network("2000::/3")


def refusal(address: str, *, private: bool) -> str | None:
    """Why an address, as a name server gave it, may not be dialled: its class; None if it may be.

    `private` allows loopback and private ranges, and nothing else that isn't public.
    """
    ip = ip_address(address)
    for name, networks in CLASSES.items():
        if any(ip in network for network in networks):
            return None if private and name in OPENED else name
    if isinstance(ip, IPv6Address) and ip not in PUBLIC_V6:
        return "reserved"
    return None if ip.is_global else "reserved"


def is_allowed(address: str, *, private: bool) -> bool:
    """Whether an address may be dialled; `private` allows loopback and private ranges."""
    return refusal(address, private=private) is None
