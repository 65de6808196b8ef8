//! A message of 64 MB, from a TCP client to a TCP server.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::Builder;

use wallaroo::{App, FrameHeader, Options, source, tcp_listener, tcp_sink};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;

use crate::pressure::Measurement;

/// Bytes of the message.
const BYTES: usize = 64 << 20;

pub(crate) fn run(options: Options) -> Report {
    let mut measurement = Measurement::begin();
    let frames = tcp_listener("127.0.0.1:0").bind().expect("a port is free");
    let address = frames.local_address().expect("it is bound");
    let server = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let server_address = server.local_addr().expect("it is bound").to_string();
    let receiver = Builder::new()
        .name("server".to_owned())
        .spawn(move || receive(&server))
        .expect("a thread can be had");
    let header = FrameHeader::u32();
    let running = App::new("large message")
        .add(
            source(
                "frames",
                frames.framed(header).max_frame_bytes(BYTES).lines(),
            )
            .to_sink("server", tcp_sink(server_address).framed(header).lines()),
        )
        .start(options)
        .expect("it starts");
    let mut client = TcpStream::connect(address).expect("the application listens");
    let length = u32::try_from(BYTES).expect("it fits");
    client
        .write_all(&length.to_be_bytes())
        .expect("the application reads");
    client.write_all(&message()).expect("the application reads");
    drop(client);
    let received = receiver.join().expect("the message arrives");
    running.stop();
    ending::wait(&running).expect("it completes");
    measurement.fact("received", u64::from(received == message()));
    measurement.end()
}

fn message() -> Vec<u8> {
    b"0123456789abcdef".repeat(BYTES / 16)
}

fn receive(server: &TcpListener) -> Vec<u8> {
    let (mut connection, _) = server.accept().expect("the application connects");
    let mut length = [0; 4];
    connection.read_exact(&mut length).expect("a frame comes");
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    connection.read_exact(&mut bytes).expect("a frame comes");
    bytes
}
