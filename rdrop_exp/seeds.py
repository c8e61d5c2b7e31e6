"""One way to turn (seed, step, …) into the seed of a generator, so that no random state has to be carried along."""

import hashlib


def derive_seed(*numbers: int | str) -> int:
    """A 63-bit seed that any change of any argument changes throughout."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
