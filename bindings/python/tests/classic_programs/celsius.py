"""Celsius to Fahrenheit: two computations without state, numbers in frames in and out."""

import struct

import wallaroo


def application_setup(args):
    in_name, in_host, in_port = wallaroo.tcp_parse_input_addrs(args)[0]
    out_host, out_port = wallaroo.tcp_parse_output_addrs(args)[0]

    celsius = wallaroo.source("Celsius Conversion", wallaroo.TCPSourceConfig(in_name, in_host, in_port, decoder))
    pipeline = celsius.to(multiply).to(add).to_sink(wallaroo.TCPSinkConfig(out_host, out_port, encoder))
    return wallaroo.build_application("Celsius Conversion", pipeline)


@wallaroo.decoder(header_length=4, length_fmt=">I")
def decoder(bs):
    return struct.unpack(">f", bs)[0]


@wallaroo.computation(name="multiply by 1.8")
def multiply(data):
    return data * 1.8


@wallaroo.computation(name="add 32")
def add(data):
    return data + 32


@wallaroo.encoder
def encoder(data):
    return struct.pack(">If", 4, data)
