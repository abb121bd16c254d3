"""The people that mails went to: `/api/recipients`."""

import re
from typing import Annotated

import msgspec
from litestar import Router, post
from msgspec import UNSET, Meta, UnsetType

from app.web.auth import ROLE_OPTION
from app.web.context import ApiRequest, gateway_of, principal_of
from app.web.input import read_body
from app.web.paging import Cursor, cursor_number, cursor_text
from app.web.problems import FieldError, invalid

_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")


class ForgetOne(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whom to forget."""

    address: Annotated[
        str, Meta(min_length=3, max_length=320, description="In any case.", examples=["ann@example.com"])
    ]
    dry_run: Annotated[bool, Meta(description="Count, and change nothing.")] = False
    cursor: Cursor | UnsetType = UNSET


class ForgottenOne(msgspec.Struct):
    """What was changed; while `next_cursor` is not null there is more to be asked for."""

    receipts: int
    events: int
    deliveries: int
    """Cancelled, because they had not been delivered."""
    attempts: int
    drift: int
    """Samples of what no mapping names."""
    jobs: int
    """Replays and recoveries of many that looked for the address; those that still ran were cancelled."""
    dry_run: bool
    next_cursor: str | None


# The address is in the body, because paths stand in the logs of everybody on the way.
@post("/forget", operation_id="forgetRecipient", status_code=200, opt={"body": ForgetOne, ROLE_OPTION: "admin"})
async def forget_recipient(request: ApiRequest) -> ForgottenOne:
    """Take an address out of receipts, events and attempts; what is left can be counted and still de-duplicates."""
    gateway, wanted = gateway_of(request), await read_body(request, ForgetOne)
    address = wanted.address.strip()
    if not _ADDRESS.fullmatch(address):
        raise invalid([FieldError("address", "is not an address: name@domain.")])
    await gateway.drifts.write()
    await gateway.registry.reload()
    walked = await gateway.forgetting.walk(
        principal_of(request).environment_id,
        address,
        after=cursor_number(wanted.cursor) or 0,
        dry_run=wanted.dry_run,
    )
    counts = msgspec.structs.asdict(walked.forgotten)
    return ForgottenOne(**counts, dry_run=wanted.dry_run, next_cursor=cursor_text(walked.after))


RECIPIENTS = Router("/recipients", route_handlers=[forget_recipient], tags=["Recipients"])
