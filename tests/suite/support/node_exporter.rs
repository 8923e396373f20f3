//! A private node_exporter of Prometheus, which reads metrics from files.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::run::find;
use super::{PATIENCE, TestDir, require};

/// One on a port of its own of 127.0.0.1, which ends with the value.
pub struct NodeExporter {
    dir: TestDir,
    port: u16,
    process: Child,
}

impl NodeExporter {
    /// `None` where there is none.
    #[track_caller]
    pub fn start() -> Option<Self> {
        if !require(&["node_exporter"]) {
            return None;
        }
        let dir = TestDir::new();
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let process = Command::new(find("node_exporter")?)
            .args(["--collector.disable-defaults", "--collector.textfile"])
            .arg(format!(
                "--collector.textfile.directory={}",
                dir.path().display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start node_exporter");
        Some(Self { dir, port, process })
    }

    /// What it serves when a file holds these metrics.
    #[track_caller]
    pub fn serve(&self, file: &str, metrics: &str) -> String {
        self.dir.write(file, metrics);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.get() {
                Ok(text) => return text,
                Err(error) => assert!(Instant::now() < deadline, "node_exporter: {error}"),
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn get(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for NodeExporter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
