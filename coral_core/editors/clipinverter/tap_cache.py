"""What the adapter computes without the text, kept for edits of the same images by other texts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from coral_core.nets.text_adapter import ClipAdapter


class TapCache:
    """Caches the adapter's normalised taps, which do not depend on the text, for the last taps and adapter weights."""

    def __init__(self) -> None:
        self._taps: Sequence[Tensor] = ()
        self._versions: list[int] = []
        self._normalised: tuple[Tensor, ...] = ()

    def normalised(self, adapter: ClipAdapter, taps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """adapter.normalised(taps), computed once for all calls with the same tuple of taps and unchanged weights."""
        versions = [parameter._version for parameter in adapter.parameters()]  # counts in-place changes
        if taps is not self._taps or versions != self._versions:
            self._taps, self._versions, self._normalised = taps, versions, adapter.normalised(taps)
        return self._normalised
