"""Where the requests of a source may come from: the networks that its mapping lists, or those that its option names."""

from collections.abc import Mapping
from typing import Any

from adapters.addresses import Ranges
from adapters.errors import VerificationFailed
from adapters.options import option_texts
from adapters.request import NativeRequest
from adapters.signatures.networks import NETWORKS_OPTION, PublishedNetworks, check_client


class Origins:
    """What a mapping says of networks; `asks` when it leaves to each source whether they count, and which."""

    def __init__(self, listed: PublishedNetworks, *, asks: bool) -> None:
        self._listed = listed
        self.asks = asks

    def counts(self, options: Mapping[str, Any]) -> bool:
        """Whether a source with these options takes requests from some networks only."""
        return not self.asks or NETWORKS_OPTION in options

    def verify(self, request: NativeRequest, options: Mapping[str, Any]) -> bool:
        """Whether the request's address is a proof here. Raises VerificationFailed where it comes from elsewhere."""
        if not self.counts(options):
            return False
        check_client(request, self._ranges(options))
        return True

    def play(self, request: NativeRequest) -> NativeRequest:
        """The request as if it came from the provider, where the mapping knows its addresses."""
        return self._listed.sign(request, None, "", 0)

    def mistakes(self, options: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What is wrong with the option: (name, sentence)."""
        if not self.asks or NETWORKS_OPTION not in options:
            return []
        try:
            self._chosen(options)
        except ValueError as mistake:
            return [(NETWORKS_OPTION, str(mistake))]
        return []

    def _ranges(self, options: Mapping[str, Any]) -> Ranges:
        if not self.asks:
            return self._listed.published
        try:
            return self._chosen(options)
        except ValueError as mistake:
            raise VerificationFailed(f"the option {NETWORKS_OPTION} of this source cannot be used: {mistake}") from None

    def _chosen(self, options: Mapping[str, Any]) -> Ranges:
        return self._listed.chosen(option_texts(options[NETWORKS_OPTION]))
