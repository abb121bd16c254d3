"""What a block holds beyond what the mapping says: derived for all providers alike, and only where nothing is said.

A bounce: the reply codes are taken from the text of the reply. An enhanced code of 5.7.x (RFC 3463: security or policy)
speaks of the sender or the message, so the class hard becomes block with it, unless the mapping says `permanent: true`,
as it does where the provider's own word is about the address. `permanent` is true for the classes hard and suppressed,
and for the class unknown with an enhanced code of 5.x.x other than 5.7.x. `suppress_recommended` is true for the class
suppressed, and for the class hard where the failure is permanent; never for soft, block and unknown.

A client: where the provider does not say whether it was a machine, agents that name themselves as scanners or bots are
(see `adapters.agents`). A machine without a reason gets that of its agent, or "bot" where the provider names one.
"""

from collections.abc import Callable
from typing import Any

from adapters.agents import BOT, IMAGE_PROXY, kind_of
from adapters.expressions import Scope
from adapters.functions.mail import codes_at_start, enhanced_code, smtp_code

_POLICY = "5.7."

Complete = Callable[[dict[str, Any], Scope], None]
"""Adds to the values of one block, by attribute."""


def is_permanent(class_: str, enhanced: str | None) -> bool:
    """Whether sending to the address again makes no sense, as far as class and RFC 3463 status tell."""
    if class_ == "unknown":
        return enhanced is not None and enhanced.startswith("5.") and not enhanced.startswith(_POLICY)
    return class_ in {"hard", "suppressed"}


def is_block(class_: str, enhanced: str | None, *, permanent: bool | None) -> bool:
    """Whether what the provider calls hard was a refusal by policy; `permanent` is what the mapping says of it."""
    return class_ == "hard" and enhanced is not None and enhanced.startswith(_POLICY) and not permanent


def should_suppress(class_: str, *, permanent: bool) -> bool:
    """Whether to write to the address no more: a permanent failure of another class may be the message's fault."""
    return class_ == "suppressed" or (class_ == "hard" and permanent)


def _codes(values: dict[str, Any], scope: Scope) -> None:
    reply = values.get("diagnostic")
    if reply is None:
        return
    if "smtp_code" not in values:
        if codes := codes_at_start(reply):  # as most replies: one look instead of several searches
            values["smtp_code"] = codes[0]
            values.setdefault("enhanced_code", codes[1])
            return
        values["smtp_code"] = smtp_code(scope, reply)
    if "enhanced_code" not in values:
        values["enhanced_code"] = enhanced_code(scope, reply)


def _bounce(values: dict[str, Any], scope: Scope) -> None:
    _codes(values, scope)
    class_ = values["class_"]
    if is_block(class_, values.get("enhanced_code"), permanent=values.get("permanent")):
        class_ = values["class_"] = "block"
    if "permanent" not in values:
        values["permanent"] = is_permanent(class_, values.get("enhanced_code"))
    if "suppress_recommended" not in values:
        values["suppress_recommended"] = should_suppress(class_, permanent=values["permanent"])


def _client(values: dict[str, Any], _scope: Scope) -> None:
    if values.get("machine") is False or "machine_reason" in values:
        return
    kind = kind_of(values.get("user_agent", ""))
    if values.get("machine"):
        values["machine_reason"] = kind or (BOT if "bot" in values else None)
    elif kind:
        values["machine_reason"] = kind
        if kind != IMAGE_PROXY:  # which fetches because a person looks
            values["machine"] = True


COMPLETIONS: dict[str, Complete] = {"delivery": _codes, "deferral": _codes, "bounce": _bounce, "client": _client}
"""By block; the other blocks hold what the mapping says and no more."""
