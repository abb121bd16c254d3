"""The errors of the command line, one tree; `main` prints the message and ends with the exit code.

CommandFailed
├── GatewayRefused       the gateway did not do it, or nobody answers      (1)
│   └── Disconnected     an answer without end has ended                   (1)
├── CheckFailed          a check found mistakes and has printed them       (1)
└── Misconfigured        a setting, a file or an argument is wrong         (2)
"""


class CommandFailed(Exception):
    """A verb that cannot do what it was asked; the message is a sentence for the person at the terminal."""

    exit_code = 1


class GatewayRefused(CommandFailed):
    """The gateway answered with an error, or there is none."""


class Disconnected(GatewayRefused):
    """An answer that has no end has ended, or cannot be had now; it may be asked for again."""


class CheckFailed(CommandFailed):
    """What was checked is not sound."""


class Misconfigured(CommandFailed):
    """The verb could not begin; the message names the setting, file or argument to change."""

    exit_code = 2
