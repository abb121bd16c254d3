"""The errors of the adapters, one tree.

AdapterError
├── VerificationFailed   the request does not prove that the provider sent it  (401, or what the mapping says)
├── DecodeFailed         the body is not what the mapping says it is           (200: the receipt is quarantined)
├── MapFailed            one native item cannot become an event                (200: the item is quarantined)
├── ExpressionError      an expression cannot be compiled, or failed           (422 where a user wrote it)
├── MappingInvalid       a mapping file is wrong; names file, line and key     (refused at start-up)
└── UnknownProvider      no mapping has that name                              (422)
"""


class AdapterError(Exception):
    """Anything the adapters refuse; `status_hint` is the HTTP status that fits when the caller has no better one."""

    status_hint = 400


class VerificationFailed(AdapterError):
    """The request is not authentic, or cannot be shown to be; the message says which check failed, never a secret."""

    status_hint = 401


class DecodeFailed(AdapterError):
    """The body is not of the declared format, or breaks a limit of size or depth."""

    status_hint = 200


class MapFailed(AdapterError):
    """One native item lacks what every event needs, or holds it in a form the mapping cannot read."""

    status_hint = 200


class ExpressionError(AdapterError):
    """An expression that does not parse, names an unknown function, or failed on its input.

    `position` is the 0-based offset of the mistake in `expression`, or None where it is the evaluation that failed.
    """

    status_hint = 422

    def __init__(self, message: str, *, expression: str = "", position: int | None = None) -> None:
        super().__init__(message)
        self.expression = expression
        self.position = position


class MappingInvalid(AdapterError):
    """A mapping that must not be used. `line` is 1-based, `key` the dotted path inside the file ("types.bounce")."""

    status_hint = 422

    def __init__(self, message: str, *, file: str, line: int | None = None, key: str = "") -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {key}: {message}" if key else f"{place}: {message}")
        self.message = message
        self.file = file
        self.line = line
        self.key = key


class UnknownProvider(AdapterError):
    """No adapter of that name is in the catalog."""

    status_hint = 422
