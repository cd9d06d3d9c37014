"""What can be said about a file before it is submitted: its forecast, and what follows for workers, a deadline and a
price."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from contract.errors import UsageError
from contract.forecast.work import Forecast, Work
from contract.machine import available_cpus
from producer.forecast.fleet import workers_for
from producer.forecast.make import forecast
from producer.forecast.outlook import Outlook
from producer.forecast.survey import Surveyed

#: Rows of a chunk, where chunks are not known yet.
CHUNK_ROWS = 512


@dataclass(frozen=True, slots=True)
class Wish:
    """What else the user wants to know. Raises UsageError for an impossible value."""

    workers: int | None = None  #: to assume; None: those that are running
    deadline: float | None = None  #: seconds
    price: float | None = None  #: of a CPU hour

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= 100_000:
            raise UsageError(f"a forecast is for 1 to 100,000 workers, not {self.workers}")
        if self.deadline is not None and not 0 < self.deadline < 1e9:
            raise UsageError("a deadline must be more than 0 seconds away", "For example: 8h")
        if self.price is not None and not 0 <= self.price < 1e9:
            raise UsageError("a price must not be below 0", "For example: 0.04")


@dataclass(frozen=True, slots=True)
class Quote(Forecast):
    """The forecast of a file."""

    name: str = ""
    rows: int = 0  #: that can be scored
    complete: bool = True  #: whether all of the file was read; else its rest is taken to be like its beginning
    reused: int | None = None  #: rows that take their outcome from another job, and cost nothing; None: no job is named
    model: str = ""
    speed: float = 1.0  #: seconds of work that a thread does in a second
    deadline_seconds: float | None = None
    workers_needed: int | None = None  #: that keep the deadline nine times in ten; None: no number does, or no deadline
    cost: float | None = None  #: at the price of a CPU hour


def quote(
    surveyed: Surveyed, outlook: Outlook, wish: Wish, name: str, *, reused: int | None = None, complete: bool = True
) -> Quote:
    """The forecast of an input that was read. `surveyed`: without the rows that are reused, but for their number."""
    fleet, errors, cpus = outlook.fleet(surveyed.rows), outlook.errors(), available_cpus()
    if wish.workers is not None:
        fleet = fleet.of(wish.workers, cpus)
    whole = forecast(surveyed, outlook.cost, fleet, errors)
    needed = None
    if wish.deadline is not None:
        sure = forecast(surveyed, outlook.cost, fleet.of(1, cpus), errors)
        margin = (sure.seconds_high or 1.0) / (sure.seconds or 1.0)
        like = fleet if fleet.rates else fleet.of(1, cpus)
        needed = workers_for(like, surveyed.seconds(outlook.cost), wish.deadline / margin)
    return Quote(
        **asdict(whole),
        name=name,
        rows=surveyed.rows,
        complete=complete,
        reused=reused,
        model=outlook.model,
        speed=round(fleet.speed, 4),
        deadline_seconds=wish.deadline,
        workers_needed=needed,
        cost=None if wish.price is None else round(whole.cpu_hours * wish.price, 6),
    )


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the first rows of a file take."""

    work: tuple[float, float, float]  #: windows, tokens and the squares of these, as in `Work`
    scored: int  #: rows that can be scored, or reused
    reused: int | None  #: of those
    bytes_read: int
    complete: bool  #: whether they are all of what was read


def quote_beginning(name: str, beginning: Beginning, size: int, outlook: Outlook, wish: Wish) -> Quote:
    """The forecast of a file of `size` bytes that goes on as it begins."""
    read = max(1, beginning.bytes_read)
    factor = 1.0 if beginning.complete and size <= read else max(1.0, size / read)
    whole = Surveyed(Work(*beginning.work), (), beginning.scored).grown(factor, CHUNK_ROWS)
    reused = None if beginning.reused is None else round(beginning.reused * factor)
    return quote(whole, outlook, wish, name, reused=reused, complete=factor == 1.0 and beginning.complete)
