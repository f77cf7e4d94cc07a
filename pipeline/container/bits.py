"""A reader of headers of coded video, bit by bit."""

from __future__ import annotations


class Bits:
    """Takes bits off a header, the highest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next ``count`` bits as a number.

        Raises:
            ValueError: the header ends before them.
        """
        if count > self._left:
            raise ValueError("the header ends early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def golomb(self) -> int:
        """The next unsigned Exp-Golomb code (ITU-T H.264, 9.1).

        Raises:
            ValueError: the header ends before it.
        """
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("a number is too long")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        """The next signed Exp-Golomb code.

        Raises:
            ValueError: the header ends before it.
        """
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)
