"""Lines, each of them reversed."""

import wallaroo


def application_setup(args):
    in_name, in_host, in_port = wallaroo.tcp_parse_input_addrs(args)[0]
    out_host, out_port = wallaroo.tcp_parse_output_addrs(args)[0]

    lines = wallaroo.source("reverse", wallaroo.TCPSourceConfig(in_name, in_host, in_port, decode))
    pipeline = lines.to(reverse).to_sink(wallaroo.TCPSinkConfig(out_host, out_port, encode))
    return wallaroo.build_application("Reverse Word", pipeline)


@wallaroo.decoder(header_length=4, length_fmt=">I")
def decode(bs):
    return bs.decode("utf-8")


@wallaroo.computation(name="reverse")
def reverse(data):
    print("reverse " + data)
    return data[::-1]


@wallaroo.encoder
def encode(data):
    # A text, as the original allowed it.
    return data + "\n"
