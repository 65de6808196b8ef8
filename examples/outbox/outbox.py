"""Reads a table of a database with its stock client library: here SQLite, which Python has in it.

Many programs write what happens to them into a table, in the transaction that does it. This one reads such a table, and keeps
the balance of each account.

python outbox.py                       makes a database in memory, so that there is something to read
python outbox.py --store ./data        would go on behind the last row of the commit, with a database in a file
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass

import wallaroo


@dataclass
class Payment:
    """A row."""

    account: str
    cents: int


class Outbox(wallaroo.Source[Payment]):
    """The rows of a table in the order of their ids, and those that are added while it runs."""

    replays = True  # rows are never changed: reading again behind an id gives the same ones

    def __init__(self, database: str, *, follow: bool = True) -> None:
        self.database = database
        self.follow = follow

    def open(self, partition: str, position: int | None) -> Outbox:
        """Begin behind the last id that was read before."""
        self.connection = sqlite3.connect(self.database, uri=True)
        self.last = position or 0
        return self

    def read(self, count: int) -> list[Payment] | None:
        """The next rows; none for now is an empty list."""
        query = "SELECT id, account, cents FROM outbox WHERE id > ? ORDER BY id LIMIT ?"
        rows = self.connection.execute(query, (self.last, count)).fetchall()
        self.last = rows[-1][0] if rows else self.last
        return [Payment(account, cents) for _, account, cents in rows] if rows or self.follow else None

    def position(self) -> int:
        """Kept in the store with the state: what `open` gets after a failure."""
        return self.last

    def close(self) -> None:
        """At the end, and before it is opened again."""
        self.connection.close()


@dataclass
class Account:
    """The state object."""

    payments: int = 0
    cents: int = 0

    def on_payment(self, payment: Payment) -> str:
        """What the account has after the payment."""
        self.payments += 1
        self.cents += payment.cents
        return f"{payment.account}: {self.cents / 100:.2f} after {self.payments} payments"


def application(database: str, *, follow: bool) -> wallaroo.App:
    """The application on one database."""
    payments = wallaroo.source("payments", Outbox(database, follow=follow))
    balances = payments.key_by("account").to(Account.on_payment, state=wallaroo.State("accounts", Account))
    return wallaroo.App("outbox", balances.to_sink("balances", wallaroo.stdout()))


def fill(database: str) -> sqlite3.Connection:
    """A table with something in it."""
    connection = sqlite3.connect(database, uri=True)
    connection.execute("CREATE TABLE outbox (id INTEGER PRIMARY KEY, account TEXT, cents INTEGER)")
    rows = [("ann", 1_250), ("bob", 400), ("ann", -250), ("cyd", 9_900), ("bob", 75), ("ann", 1_000)]
    connection.executemany("INSERT INTO outbox (account, cents) VALUES (?, ?)", rows)
    connection.commit()
    return connection


if __name__ == "__main__":
    memory = "file:outbox?mode=memory&cache=shared"
    kept = fill(memory)  # a database in memory lives as long as one connection to it
    with contextlib.closing(kept):
        application(memory, follow=False).main()
