"""A pipeline that its options say: computations are made in a loop, of functions in functions, and modules beside this one help."""

import argparse
import struct
from collections import Counter, namedtuple

import wallaroo
import wallaroo.experimental

import routes_parts

Step = namedtuple("Step", ["key_by", "computation"])


def application_setup(args):
    parser = argparse.ArgumentParser("Routes")
    for name in ("plain", "state", "by-sender", "twice", "even"):
        parser.add_argument("--" + name, dest="steps", action="append_const", const=name)
    parser.add_argument("--letters", type=int, default=0)
    mine, _ = parser.parse_known_args(args)
    if not "--cluster-initializer" in wallaroo._ARGS:
        mine.letters = 0

    if mine.letters:
        source = wallaroo.GenSourceConfig(Generator(mine.letters))
    else:
        # As programs for 0.6 say it: without a name.
        in_host, in_port = wallaroo.tcp_parse_input_addrs(args)[0]
        source = wallaroo.TCPSourceConfig(in_host, in_port, decoder, parallelism=13)
    p = wallaroo.source("letters", source)
    for step in steps(mine.steps):
        if step.key_by:
            p = p.key_by(step.key_by)
        p = p.to(step.computation)
    out_host, out_port = wallaroo.tcp_parse_output_addrs(args)[0]
    return wallaroo.build_application("routes", p.to_sink(wallaroo.TCPSinkConfig(out_host, out_port, encoder)))


def steps(words):
    made = []
    counts = Counter()
    for at, word in enumerate(words):
        if word not in ("plain", "state"):
            continue
        counts[word] += 1
        is_keyed = "by-sender" in words[:at]
        after = words[at + 1] if at + 1 < len(words) else None
        key_by = wallaroo.key_extractor(routes_parts.sender) if at and words[at - 1] == "by-sender" else None
        made.append(Step(key_by, step(word, "%s%d" % (word, counts[word]), after, is_keyed)))
    return made


def step(word, name, after, is_keyed):
    stamp = routes_parts.stamp(name)

    def plain(letter, seen=None):
        if seen is not None:
            letter = stamp(letter, seen.before(letter, is_keyed))
        else:
            letter = stamp(letter)
        if after == "twice":
            return [routes_parts.Letter("%s.%d" % (letter.sender, n), letter.number, list(letter.stamps)) for n in range(2)]
        if after == "even" and letter.number % 2:
            return None
        return letter

    plain.__name__ = name
    several = after == "twice"
    if word == "state":
        decorator = wallaroo.state_computation_multi if several else wallaroo.state_computation
        return decorator(plain.__name__, routes_parts.Seen)(plain)
    decorator = wallaroo.computation_multi if several else wallaroo.computation
    return decorator(plain.__name__)(plain)


class Generator(object):
    def __init__(self, count=1):
        self.count = count

    def initial_value(self):
        return self.letter(0)

    def apply(self, v):
        return self.letter(v.number + 1) if v.number + 1 < self.count else None

    def letter(self, number):
        return routes_parts.Letter("s%d" % (number % 3), number)


def decode(bs):
    return routes_parts.Letter(bs[8:].decode(), struct.unpack(">Q", bs[:8])[0])


# One function, decorated for two kinds of sources.
decoder = wallaroo.decoder(header_length=4, length_fmt=">I")(decode)
decode_feed = wallaroo.experimental.stream_message_decoder(decode)


@wallaroo.experimental.stream_message_encoder
def encode_feed(data):
    return data


@wallaroo.encoder
def encoder(letter):
    s = letter.pack()
    return struct.pack(">I{}s".format(len(s)), len(s), s)
