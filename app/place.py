"""Which part of the work a process does: all of it, or that of one of several workers beside each other."""

import msgspec

ALL, DELIVERY, INBOUND = "all", "delivery", "inbound"
DELIVERY_SLOT = 0


class Place(msgspec.Struct, frozen=True):
    """What a process has to know of its part. Descriptors are numbers of open files that it has inherited."""

    role: str = ALL
    slot: int = DELIVERY_SLOT
    """Its number among the workers, which one that takes its place has too; the delivery worker's is the first."""
    workers: int = 1
    """How many there are, it included."""
    restarts: int = 0
    """How many had its place before."""
    predecessor: int | None = None
    """The node that had it last, if that may have left something behind."""
    ear: int = -1
    """What the others tell this one is read from this descriptor."""
    mouths: tuple[int, ...] = ()
    """By slot, where something is told to that worker."""

    shared_folder: str = ""
    """Where the workers count, and keep to their turns; empty where there is one process."""

    @property
    def sends(self) -> bool:
        """Whether it delivers, and has the duties that only one may have."""
        return self.role != INBOUND

    @property
    def has_others(self) -> bool:
        """Whether other processes of this gateway write to the database."""
        return self.workers > 1


ALONE = Place()


class Start(msgspec.Struct, frozen=True):
    """What a worker is told when it is started."""

    place: Place
    host: str
    port: int
    listener: int | None
    """The descriptor of the socket on which requests are taken, for those who do."""
    control: int = -1
    """The descriptor of the socket to the process that started it."""


class Ready(msgspec.Struct, frozen=True):
    """What a worker tells when it works."""

    node: int
    banner: str = ""
    """What to show to the person who started the gateway."""
