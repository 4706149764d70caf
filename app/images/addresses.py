"""Which addresses an image may be fetched from."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Never, whatever the settings: what a cloud tells its own machines, credentials included.
METADATA: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # all clouds, and everything else that is link-local
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure's wire server, in a public range
            "192.0.0.192/32",  # Oracle
            "fd00:ec2::/32",  # AWS
            "fd20:ce::/32",  # Google
            "fe80::/10",
        ),
    )
)
# Not ours to reach, though `is_global` is true of them in some version of Python.
RESERVED: tuple[Network, ...] = tuple(map(ip_network, ("192.88.99.0/24", "2001::/32", "2002::/16", "3fff::/20")))
# The only addresses of version 6 that the public internet uses. What lies outside hides addresses of version 4
# (mapped, compatible, translated) or never leaves a site.
PUBLIC_V6 = IPv6Network("2000::/3")
# Where private networks are allowed these are, too; the rest outside PUBLIC_V6 still hides something.
PRIVATE_V6: tuple[IPv6Network, ...] = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))


def is_allowed(address: str, *, private: bool) -> bool:
    """Whether an address, as a name server gave it, may be dialled; `private` allows loopback and private ranges."""
    ip = ip_address(address)
    if any(ip in network for network in METADATA) or ip.is_multicast or ip.is_unspecified:
        return False
    if private:
        return isinstance(ip, IPv4Address) or ip in PUBLIC_V6 or any(ip in network for network in PRIVATE_V6)
    if isinstance(ip, IPv6Address) and ip not in PUBLIC_V6:
        return False
    return ip.is_global and not any(ip in network for network in RESERVED)
