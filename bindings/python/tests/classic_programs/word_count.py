"""Words of lines, and how often each has come."""

import wallaroo


def application_setup(args):
    in_name, in_host, in_port = wallaroo.tcp_parse_input_addrs(args)[0]
    out_host, out_port = wallaroo.tcp_parse_output_addrs(args)[0]

    lines = wallaroo.source("Split and Count", wallaroo.TCPSourceConfig(in_name, in_host, in_port, decode_lines))
    pipeline = (
        lines.to(split).key_by(extract_word).to(count_word).to_sink(wallaroo.TCPSinkConfig(out_host, out_port, encode_word_count))
    )
    return wallaroo.build_application("Word Count Application", pipeline)


@wallaroo.decoder(header_length=4, length_fmt=">I")
def decode_lines(bs):
    return bs.decode("utf-8")


@wallaroo.computation_multi(name="split into words")
def split(line):
    return [word.strip(".,!?") or None for word in line.lower().split(" ")]


class WordTotal(object):
    count = 0


class WordCount(object):
    def __init__(self, word, count):
        self.word = word
        self.count = count


@wallaroo.key_extractor
def extract_word(word):
    return word


@wallaroo.state_computation(name="count word", state=WordTotal)
def count_word(word, word_total):
    word_total.count = word_total.count + 1
    return WordCount(word, word_total.count)


@wallaroo.encoder
def encode_word_count(word_count):
    return (word_count.word + " => " + str(word_count.count) + "\n").encode("utf-8")
