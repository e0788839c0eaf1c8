"""Which addresses are the public internet.

An explicit list, because what `ipaddress` calls global differs between Python releases.
"""

from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_NOT_PUBLIC_V4 = [
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier NAT, and some clouds' metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent behind a public-looking address
        "169.254.0.0/16",  # link local: most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
# Everything unicast and global lies in 2000::/3; inside it, these do not lead to a host of their own.
_GLOBAL_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = [
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments, Teredo among them: it wraps an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4 wraps an IPv4 address
        "3fff::/20",
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether `address` (an IP in text form) belongs to the public internet. False for what is no IP."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _is_public_v4(parsed)
    inner = _wrapped_v4(parsed)
    if inner is not None:
        return _is_public_v4(inner)
    return parsed in _GLOBAL_V6 and not any(parsed in block for block in _NOT_PUBLIC_V6)


@lru_cache(4096)
def line_of(address: str) -> str:
    """Whose line `address` belongs to, for counting: an IPv6 line has 2**64 addresses to take turns with."""
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in block for block in _NOT_PUBLIC_V4)


def _wrapped_v4(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None
