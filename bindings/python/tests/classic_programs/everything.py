"""What the others leave out: filters, keys of all types, several sinks, state made by a function, serialization of its own."""

import json
import struct

import wallaroo


def application_setup(args):
    in_name, in_host, in_port = wallaroo.tcp_parse_input_addrs(args)[0]
    sinks = [wallaroo.TCPSinkConfig(host, port, encode) for host, port in wallaroo.tcp_parse_output_addrs(args)]

    print("arguments: %s" % [arg for arg in args if arg.startswith("--own")])
    numbers = wallaroo.source("numbers", wallaroo.TCPSourceConfig(in_name, in_host, in_port, decode))
    pipeline = numbers.key_by(remainder).to(remember).key_by(as_bytes).to(count).collect().to(count_all).to_sinks(sinks)
    return wallaroo.build_application("everything", pipeline)


class Last(object):
    def __init__(self, values):
        self.values = values


def made():
    return Last([])


class Counter(object):
    seen = 0


def serialize(o):
    return json.dumps([type(o).__name__, o.__dict__]).encode()


def deserialize(bs):
    name, attributes = json.loads(bs)
    o = globals()[name].__new__(globals()[name])
    o.__dict__.update(attributes)
    return o


# A length of two bytes, in the order of the smaller first.
@wallaroo.decoder(header_length=2, length_fmt="<H")
def decode(bs):
    number = struct.unpack(">q", bs)[0] if bs else 0
    return None if number < 0 else number


@wallaroo.key_extractor
def remainder(number):
    return number % 3


@wallaroo.state_computation_multi(name="remember", state=made)
def remember(number, last):
    last.values = (last.values + [number])[-2:]
    return [tuple(last.values), None] if len(last.values) == 2 else None


@wallaroo.key_extractor
def as_bytes(pair):
    return b"odd" if pair[1] % 2 else b"even"


@wallaroo.state_computation(name="count", state=Counter)
def count(pair, counter):
    counter.seen += 1
    return (counter.seen, pair)


@wallaroo.state_computation(name="count all", state=Counter)
def count_all(counted, counter):
    counter.seen += 1
    return (counter.seen,) + counted


@wallaroo.encoder
def encode(data):
    if data[0] % 2 == 0:
        return None
    return json.dumps(data) + "\n"
