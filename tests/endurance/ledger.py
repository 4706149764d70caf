"""What became of every request."""

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic

from app.commands.instance import Answer, Surprise

from tests.endurance.answers import code_of, refused_for_now, spoiled
from tests.endurance.forms import Question

# Of what goes wrong in the same way a thousand times, so many are enough to read.
MOST_TOLD = 20


@dataclass(frozen=True)
class Loss:
    """A request that got no answer, and whose caller had not hung up. Port 0: it didn't even get a connection."""

    kind: str
    id: str
    port: int
    at: float
    reason: str


@dataclass(frozen=True)
class Spoiled:
    """Images of one request that their decoder failed at, between asking and answering."""

    images: int
    asked: float
    answered: float


@dataclass
class Ledger:
    """Requests, and what became of them. `wrong` are answers that aren't right, by what is wrong with them."""

    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[tuple[int, str]] = field(default_factory=Counter)
    right: int = 0
    hung_up: int = 0
    unasked: int = 0
    losses: list[Loss] = field(default_factory=list)
    spoiled: list[Spoiled] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    first_right: float | None = None

    @property
    def answers(self) -> int:
        """How many requests were answered."""
        return sum(self.answered.values())

    @property
    def refused(self) -> int:
        """How many were told to come again."""
        return sum(count for (status, _), count in self.answered.items() if status == 503)

    @property
    def unaccounted(self) -> int:
        """Requests of which nobody knows what became; none, unless there is a mistake in here."""
        return sum(self.asked.values()) - self.answers - self.hung_up - len(self.losses)

    def lose(self, question: Question, port: int, reason: str) -> None:
        """Take down that a request got no answer."""
        self.losses.append(Loss(question.kind, question.id, port, monotonic(), reason))

    def judge(self, question: Question, answer: Answer, asked: float) -> None:
        """Take down an answer, and whether it is the right one."""
        now = monotonic()
        self.answered[answer.status, code_of(answer)] += 1
        self.seconds.append(now - asked)
        try:
            if (found := answer.headers.get("x-request-id")) != question.id:
                raise Surprise(f"an answer to {found} instead of {question.id}")
            if "content-length" not in answer.headers:
                raise Surprise("an answer without its length")
            if refused_for_now(answer):
                return
            if question.images and (images := spoiled(answer)):
                self.spoiled.append(Spoiled(images, asked, now))
                return
            question.judge(answer)
            self.right += 1
            self.first_right = self.first_right or now
        except Surprise as surprise:
            self._wrong(question, answer, str(surprise))
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            self._wrong(question, answer, f"an answer of another form ({type(error).__name__}: {error})")

    def _wrong(self, question: Question, answer: Answer, reason: str) -> None:
        told = f"{question.kind}: {reason}" if len(self.wrong) < MOST_TOLD else "others"
        self.wrong[f"{told} [{answer.status}]"] += 1
