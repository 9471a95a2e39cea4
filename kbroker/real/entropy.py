"""Randomness from the operating system."""

import secrets
import uuid


class RealEntropy:
    """world.Entropy on the operating system's generator."""

    def uuid(self) -> bytes:
        """See world.Entropy."""
        while True:
            raw = uuid.uuid4().bytes
            # The first base64url character is the top six bits; 62 is '-', which command lines take for a flag.
            if raw[0] >> 2 != 62:
                return raw

    def below(self, end: int) -> int:
        """See world.Entropy."""
        return secrets.randbelow(end)
