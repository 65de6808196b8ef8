"""Orders that are rejected while the spread of their symbol is wide: two sources, merged, on one state."""

import struct

import wallaroo

ORDER = 1
MARKET_DATA = 2


def application_setup(args):
    inputs = {name: (host, port) for name, host, port in wallaroo.tcp_parse_input_addrs(args)}
    out_host, out_port = wallaroo.tcp_parse_output_addrs(args)[0]

    orders = wallaroo.source("Orders", wallaroo.TCPSourceConfig("Orders", *inputs["Orders"], decode_order))
    market_data = wallaroo.source(
        "Market Data", wallaroo.TCPSourceConfig("Market Data", *inputs["Market Data"], decode_market_data)
    )

    pipeline = (
        orders.merge(market_data)
        .key_by(extract_symbol)
        .to(check_market_data)
        .to_sink(wallaroo.TCPSinkConfig(out_host, out_port, encode_order_result))
    )
    return wallaroo.build_application("Market Spread", pipeline)


class MarketSpreadError(Exception):
    pass


class SymbolData(object):
    def __init__(self, last_bid=0.0, last_offer=0.0, should_reject_trades=True):
        self.last_bid = last_bid
        self.last_offer = last_offer
        self.should_reject_trades = should_reject_trades


class Order(object):
    is_order = True

    def __init__(self, order_id, symbol):
        self.order_id = order_id
        self.symbol = symbol


class MarketDataMessage(object):
    is_order = False

    def __init__(self, symbol, bid, offer):
        self.symbol = symbol
        self.bid = bid
        self.offer = offer
        self.mid = (bid + offer) / 2.0


class OrderResult(object):
    def __init__(self, order, last_bid, last_offer):
        self.order = order
        self.bid = last_bid
        self.offer = last_offer


@wallaroo.key_extractor
def extract_symbol(data):
    return data.symbol


@wallaroo.state_computation(name="Check Market Data", state=SymbolData)
def check_market_data(data, state):
    if data.is_order:
        if state.should_reject_trades:
            return OrderResult(data, state.last_bid, state.last_offer)
        return None
    spread = data.offer - data.bid
    state.should_reject_trades = spread >= 0.05 or spread / data.mid >= 0.05
    state.last_bid = data.bid
    state.last_offer = data.offer
    return None


@wallaroo.decoder(header_length=4, length_fmt=">I")
def decode_order(bs):
    kind, order_id, symbol = struct.unpack(">B6s4s", bs)
    if kind != ORDER:
        raise MarketSpreadError("Wrong message type. Did you connect the senders the wrong way around?")
    return Order(order_id, symbol)


@wallaroo.decoder(header_length=4, length_fmt=">I")
def decode_market_data(bs):
    kind, symbol, bid, offer = struct.unpack(">B4sdd", bs)
    if kind != MARKET_DATA:
        raise MarketSpreadError("Wrong message type. Did you connect the senders the wrong way around?")
    return MarketDataMessage(symbol, bid, offer)


@wallaroo.encoder
def encode_order_result(result):
    payload = struct.pack(">6s4sdd", result.order.order_id, result.order.symbol, result.bid, result.offer)
    return struct.pack(">I", len(payload)) + payload
