"""What the store refuses, one tree; the message is a sentence for the person who asked.

StoreError
├── NameTaken             a source of that name is there already                       (409)
├── LastAdminKey          the environment would be left without an admin key           (409)
├── NotResendable         the delivery is in no state to be sent again                 (409)
├── ReplayRefused         an endpoint to replay to is not there                        (404)
├── KeyReused             an Idempotency-Key came back with another request            (422)
└── DatabaseTooNew        a newer Mailweir has migrated the database                   (refused at start)
"""


class StoreError(Exception):
    """Anything the store refuses; `status_hint` is the HTTP status that fits when the caller has no better one."""

    status_hint = 409


class NameTaken(StoreError):
    """A source of that name is there already, perhaps in another environment."""


class LastAdminKey(StoreError):
    """Without this key nobody could administer the environment."""


class NotResendable(StoreError):
    """The delivery is being sent, was cancelled, or its endpoint is not sent to."""


class ReplayRefused(StoreError):
    """An endpoint named for a replay is not in the environment, or was deleted."""

    status_hint = 404


class KeyReused(StoreError):
    """An Idempotency-Key stands for one request; this is another."""

    status_hint = 422


class DatabaseTooNew(StoreError):
    """The tables are those of a newer version of Mailweir."""

    status_hint = 500
