"""Alerts on running totals: what each user has deposited and withdrawn, and an alert when that passes a limit."""

from collections.abc import Iterator
from dataclasses import dataclass

import wallaroo

USERS = ["Fido", "Rex", "Dr. Whiskers", "Feathers", "Mopey"]
LIMIT = 1_000


@dataclass
class Transaction:
    """What comes in."""

    number: int
    user: str
    amount: int


def transactions() -> Iterator[Transaction]:
    """What this example makes up. Called again it gives the same, so the source can be continued anywhere."""
    for number in range(1_000):
        noise = ((number + 1) * 0x9E37_79B9_7F4A_7C15) % 2**64 >> 33
        yield Transaction(number, USERS[noise % 5], noise // 5 % 401 - 200)


@dataclass
class Alert:
    """What goes out."""

    user: str
    total: int
    transaction: int

    def __str__(self) -> str:
        """As people read it."""
        what = "deposited" if self.total > 0 else "withdrawn"
        return f"{self.user} has {what} {abs(self.total)} (transaction {self.transaction})"


@dataclass
class Account:
    """The state object."""

    total: int = 0
    is_over: bool = False

    def on_transaction(self, transaction: Transaction) -> Alert | None:
        """An alert when the total leaves the range from -1,000 to 1,000; the next one only after it has come back."""
        self.total += transaction.amount
        was_over, self.is_over = self.is_over, abs(self.total) > LIMIT
        if self.is_over and not was_over:
            return Alert(transaction.user, self.total, transaction.number)
        return None


accounts = wallaroo.State("accounts", Account)
alerts = wallaroo.source("transactions", transactions).key_by("user").to(Account.on_transaction, state=accounts)
app = wallaroo.App("alerts", alerts.to_sink("alerts", wallaroo.stdout(wallaroo.lines())))


if __name__ == "__main__":
    app.main()
