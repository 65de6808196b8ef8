"""Market spread: two sources meet in one state.

Quotes tell the spread of a symbol; orders for it are rejected while it is too wide.

python market_spread.py
python market_spread.py --in quotes=tcp://127.0.0.1:7011 --in orders=tcp://127.0.0.1:7010    until ctrl-c

Both sources send frames: a length (four bytes, most significant first), then that many bytes of message. Each source keeps its
order; how quotes and orders interleave is left to them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import wallaroo

HERE = Path(__file__).parent
FRAME = struct.Struct(">4sQQ")  # a symbol of four letters, padded with blanks, and two numbers


@dataclass
class Quote:
    """Prices are in cents."""

    symbol: str
    bid: int
    offer: int


@dataclass
class Order:
    """What somebody wants to buy."""

    symbol: str
    number: int
    quantity: int


@dataclass
class Rejected:
    """What goes out."""

    order: Order
    spread: int


@dataclass
class Symbol:
    """The state object, which both streams use. There is no lock: its calls come one after another."""

    quote: tuple[int, int] | None = None
    waiting: list[Order] = field(default_factory=list)  # orders that came before the first quote

    def on_quote(self, quote: Quote) -> Iterator[Rejected]:
        """Remember the quote, and decide about the orders that waited for it."""
        self.quote = (quote.bid, quote.offer)
        waiting, self.waiting = self.waiting, []
        for order in waiting:
            rejected = self.on_order(order)
            if rejected is not None:
                yield rejected

    def on_order(self, order: Order) -> Rejected | None:
        """Reject the order if the spread is 5 cents or 5 % of the price."""
        if self.quote is None:
            self.waiting.append(order)
            return None
        bid, offer = self.quote
        spread = max(offer - bid, 0)
        is_too_wide = spread >= 5 or 40 * spread >= bid + offer
        return Rejected(order, spread) if is_too_wide else None


def decode(frame: bytes) -> tuple[str, int, int]:
    """What both kinds of frames hold. An exception here names the source, the record and its bytes."""
    symbol, first, second = FRAME.unpack(frame)
    return symbol.decode().rstrip(), first, second


def quote(frame: bytes) -> Quote:
    """A frame of the source `quotes`."""
    return Quote(*decode(frame))


def order(frame: bytes) -> Order:
    """A frame of the source `orders`."""
    return Order(*decode(frame))


symbols = wallaroo.State("symbols", Symbol)
quotes = wallaroo.source("quotes", wallaroo.file(HERE / "quotes.bin", wallaroo.decoder(quote), framed=4))
orders = wallaroo.source("orders", wallaroo.file(HERE / "orders.bin", wallaroo.decoder(order), framed=4))
waited = quotes.key_by("symbol").to_many(Symbol.on_quote, state=symbols)
rejected = orders.key_by("symbol").to(Symbol.on_order, state=symbols).merge(waited)
app = wallaroo.App("market_spread", rejected.to_sink("rejected", wallaroo.stdout(wallaroo.json())))


if __name__ == "__main__":
    app.main()
