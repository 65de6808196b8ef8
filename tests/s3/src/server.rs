//! A server that speaks S3, of a test's own: it can be killed and started again on the same bucket.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::wait_for;

/// The only bucket.
pub const BUCKET: &str = "wallaroo";
/// The variable that has the path of the server's program. `.ci/s3-test` sets it.
const PROGRAM: &str = "WALLAROO_S3_SERVER";
const ACCESS_KEY: &str = "wallaroo";
const SECRET_KEY: &str = "wallaroo-secret";

/// A running server.
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    address: SocketAddr,
    process: Option<Child>,
}

impl Server {
    /// Starts one with an empty bucket.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join(BUCKET)).expect("a bucket is a directory");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("has an address");
        drop(free);
        let mut server = Server {
            directory,
            address,
            process: None,
        };
        server.go_on();
        server
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn go_on(&mut self) {
        let program = std::env::var_os(PROGRAM);
        let program: PathBuf = program
            .expect("WALLAROO_S3_SERVER has the path of the server; run .ci/s3-test")
            .into();
        let process = Command::new(program)
            .args(["--port", &self.address.to_string(), "--quiet", "posix"])
            .arg(self.directory.path())
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY)
            .stdout(Stdio::null())
            .spawn();
        self.process = Some(process.expect("the server starts"));
        wait_for("the server", || TcpStream::connect(self.address).ok());
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The directory that has the bucket as a directory.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The environment of a process that uses it at `address`: its own, or that of a proxy.
    #[must_use]
    pub fn environment(address: SocketAddr) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
