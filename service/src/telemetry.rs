//! What a program says about itself: its log on stdout, its metrics, and the TLS provider that all its parts share.

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Upper bounds of what takes time, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Upper bounds of what is counted in events or bytes.
const COUNTS: [f64; 12] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 16_777_216.0];

/// The metrics of this program. Clones show the same.
#[derive(Clone)]
pub struct Metrics {
    program: &'static str,
    handle: PrometheusHandle,
}

/// Starts the log (`RUST_LOG`, by default `info`; `PARLOR_LOG_FORMAT=json` for machines), the metrics recorder, and ring as the
/// provider of every TLS connection. The first line of every `main`.
pub fn init(program: &'static str) -> Result<Metrics> {
    install_tls();
    start_log()?;
    log_panics();
    let handle = builder()?.install_recorder().context("failed to install the metrics recorder")?;
    tracing::info!(program, version = env!("CARGO_PKG_VERSION"), "starting");
    Ok(Metrics { program, handle })
}

/// Makes ring the provider of every TLS connection of this process; calling it again changes nothing.
pub fn install_tls() {
    // An error says that there is one already, and no other than ring is compiled in.
    rustls::crypto::ring::default_provider().install_default().ok();
}

impl Metrics {
    /// Metrics of a recorder that is not installed: for tests, where the process has many programs.
    pub fn detached(program: &'static str) -> Result<Self> {
        Ok(Self { program, handle: builder()?.build_recorder().handle() })
    }

    /// Puts what was measured into its buckets, whether or not somebody fetches it.
    pub fn tidy(&self) {
        self.handle.run_upkeep();
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        format!("{}{}", self.handle.render(), process::render(self.program))
    }
}

fn builder() -> Result<PrometheusBuilder> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| builder.set_buckets(&COUNTS))
        .context("failed to set the buckets of histograms")
}

fn start_log() -> Result<()> {
    // lapin logs a returned message whole, which is what people wrote.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,lapin::returned_messages=off"));
    let json = std::env::var("PARLOR_LOG_FORMAT").is_ok_and(|format| format == "json");
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(tracing_subscriber::fmt::layer().json().flatten_event(true)).try_init()
    } else {
        registry.with(tracing_subscriber::fmt::layer().with_ansi(false)).try_init()
    };
    started.context("failed to start the log")
}

/// A panic is a line of the log like any other, so that it is found where the rest is.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, "panic");
    }));
}

/// What the kernel knows of this process, under the names that Prometheus' own client libraries use.
mod process {
    use std::fmt::Write as _;
    use std::fs;

    /// Linux reports times of processes in hundredths of a second, whatever its own tick is.
    const TICKS_PER_SECOND: f64 = 100.0;

    pub(super) fn render(program: &str) -> String {
        let mut text = String::new();
        let mut line = |name: &str, kind: &str, value: Option<f64>| {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                writeln!(text, "# TYPE {name} {kind}\n{name} {value}\n").ok();
            }
        };
        line(
            "process_cpu_seconds_total",
            "counter",
            fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds),
        );
        line(
            "process_resident_memory_bytes",
            "gauge",
            fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident),
        );
        line("process_open_fds", "gauge", open_files());
        writeln!(
            text,
            "# TYPE parlor_info gauge\nparlor_info{{program=\"{program}\",version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        )
        .ok();
        text
    }

    /// User and system time are the 14th and 15th word; the second may hold spaces but ends with the last `)`.
    pub(super) fn cpu_seconds(stat: &str) -> Option<f64> {
        let words: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| words.get(index)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }

    pub(super) fn resident(status: &str) -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? * 1024.0)
    }

    fn open_files() -> Option<f64> {
        let count = fs::read_dir("/proc/self/fd").ok()?.count();
        Some(f64::from(u32::try_from(count).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let stat = "7 (a ) b) S 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(process::cpu_seconds(stat), Some(3.0));
        assert_eq!(process::resident("Name:\tx\nVmRSS:\t    2 kB\n"), Some(2048.0));
    }

    #[test]
    fn metrics_show_the_process() {
        let text = Metrics::detached("test").unwrap().render();
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "parlor_info{"] {
            assert!(text.contains(name), "{name} is not in {text}");
        }
    }
}
