//! Measuring: calls a second, latencies, CPU time on both sides.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use marotte::Error;
use serde_json::{Map, Value, json};

/// Measures one workload and prints one JSON line.
pub(crate) struct Meter<'a> {
    pub(crate) workload: &'a str,
    pub(crate) seconds: Duration,
    /// The server's process.
    pub(crate) server: u32,
}

struct Start {
    at: Instant,
    server: u64,
    client: u64,
}

/// Resident memory of a process, in KiB.
pub(crate) fn rss_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0.0)
}

/// Nanoseconds on a CPU, of all live threads of a process.
fn cpu_ns(pid: u32) -> u64 {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

impl Meter<'_> {
    fn start(&self) -> Start {
        let (server, client) = (cpu_ns(self.server), cpu_ns(std::process::id()));
        Start {
            at: Instant::now(),
            server,
            client,
        }
    }

    fn print(&self, fields: Value) {
        let peer = std::env::var("PEER").unwrap_or_else(|_| "marotte-rust".to_owned());
        let mut line = Map::from_iter([
            ("peer".to_owned(), json!(peer)),
            ("workload".to_owned(), json!(self.workload)),
        ]);
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        println!("{}", Value::Object(line));
    }

    fn done(&self, start: &Start, calls: u64, latencies: &mut [u64], bytes: usize) {
        let seconds = start.at.elapsed().as_secs_f64();
        let count = calls as f64;
        let mut fields = json!({
            "n": calls,
            "secs": seconds,
            "ops_s": count / seconds,
            "server_cpu_us": (cpu_ns(self.server) - start.server) as f64 / 1e3 / count,
            "client_cpu_us": (cpu_ns(std::process::id()) - start.client) as f64 / 1e3 / count,
        });
        latencies.sort_unstable();
        if let Some(last) = latencies.len().checked_sub(1) {
            fields["p50_us"] = json!(latencies[last / 2] as f64 / 1e3);
            fields["p99_us"] = json!(latencies[last * 99 / 100] as f64 / 1e3);
        }
        if bytes > 0 {
            fields["mb_s"] = json!(count * bytes as f64 / seconds / 1e6);
        }
        self.print(fields);
    }

    /// One call at a time.
    pub(crate) async fn sequential(
        &self,
        bytes: usize,
        warm_up: usize,
        call: impl AsyncFn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        for _ in 0..warm_up {
            call().await?;
        }
        let mut latencies = Vec::with_capacity(1 << 20);
        let start = self.start();
        while start.at.elapsed() < self.seconds {
            let before = Instant::now();
            call().await?;
            latencies.push(before.elapsed().as_nanos() as u64);
        }
        self.done(&start, latencies.len() as u64, &mut latencies, bytes);
        Ok(())
    }

    /// So many callers, each with one call at a time.
    pub(crate) async fn window(
        &self,
        callers: usize,
        bytes: usize,
        call: impl AsyncFn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        for share in [8, 1] {
            let calls = Cell::new(0);
            let start = self.start();
            let caller = async || {
                while start.at.elapsed() < self.seconds / share {
                    call().await?;
                    calls.set(calls.get() + 1);
                }
                Ok(())
            };
            let callers: Result<Vec<()>, Error> = join_all((0..callers).map(|_| caller()))
                .await
                .into_iter()
                .collect();
            callers?;
            if share == 1 {
                self.done(&start, calls.get(), &mut [], bytes);
            }
        }
        Ok(())
    }

    /// Many calls at once, all awaited, again and again.
    pub(crate) async fn burst(
        &self,
        size: u64,
        calls: impl AsyncFn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        for _ in 0..5 {
            calls().await?;
        }
        let start = self.start();
        let mut count = 0;
        while start.at.elapsed() < self.seconds {
            calls().await?;
            count += size;
        }
        self.done(&start, count, &mut [], 0);
        Ok(())
    }

    /// Memory of idle connections.
    pub(crate) fn idle(&self, count: u32, before: (f64, f64)) {
        let (server, client) = (rss_kib(self.server), rss_kib(std::process::id()));
        self.print(json!({
            "n": count,
            "server_kb_per_conn": (server - before.0) / f64::from(count),
            "client_kb_per_conn": (client - before.1) / f64::from(count),
            "server_rss_kb": server,
            "client_rss_kb": client,
        }));
    }
}
