//! How busy a program is, counted in pods: from what its pods measured, and what they had measured before. All pods or nothing: what one
//! of them did not tell may be anything.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pods::Pod;
use crate::crd::scaling::{GatewayScaling, HistorianScaling, UsersScaling};

/// What the programs' pages of metrics say of load; the rest of a page is for people.
const SOCKETS: &str = "parlor_sockets";
const CPU: &str = "process_cpu_seconds_total";
const REQUESTS: &str = "http_requests_total";
const LAG_EVENTS: &str = "parlor_historian_lag_events";
const LAG_SECONDS: &str = "parlor_historian_lag_seconds";
const NAMES: [&str; 5] = [SOCKETS, CPU, REQUESTS, LAG_EVENTS, LAG_SECONDS];

/// Values by metric, summed over their labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metrics(BTreeMap<&'static str, f64>);

impl Metrics {
    /// From a page in Prometheus' text format.
    pub(super) fn parse(page: &str) -> Self {
        let mut values = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let end = line.find(['{', ' ']).unwrap_or(line.len());
            let Some(name) = NAMES.into_iter().find(|name| *name == &line[..end]) else { continue };
            // Labels may hold spaces; behind the value a time may follow, which our programs do not write.
            if let Some(value) = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()) {
                *values.entry(name).or_insert(0.0) += value;
            }
        }
        Self(values)
    }

    fn get(&self, name: &'static str) -> Result<f64, String> {
        self.0.get(name).copied().ok_or_else(|| format!("does not tell {name}"))
    }
}

/// Remembers counters, which only mean something by how they grow.
#[derive(Debug, Default)]
pub(super) struct Meter {
    before: BTreeMap<String, Sample>,
    growth: BTreeMap<String, Growth>,
}

#[derive(Debug)]
struct Sample {
    at: Duration,
    cpu: f64,
    requests: f64,
}

/// Of a pod, each second.
#[derive(Debug, Clone, Copy)]
struct Growth {
    /// Cores in use.
    cpu: f64,
    /// Requests.
    requests: f64,
}

impl Meter {
    /// Takes what the pods say at this moment.
    pub(super) fn see(&mut self, now: Duration, pods: &[Pod]) {
        self.growth.clear();
        let mut samples = BTreeMap::new();
        for pod in pods {
            let Some(sample) = Sample::of(now, pod) else { continue };
            if let Some(growth) = self.before.get(&pod.uid).and_then(|before| sample.since(before)) {
                self.growth.insert(pod.uid.clone(), growth);
            }
            samples.insert(pod.uid.clone(), sample);
        }
        self.before = samples;
    }

    /// By sockets and processor use, whichever needs more. Pods that asked for no processor are not measured by it.
    pub(super) fn gateways(&self, pods: &[&Pod], scaling: &GatewayScaling) -> Result<f64, String> {
        let sockets = sum(pods, |pod| told(pod)?.get(SOCKETS))?;
        let by_sockets = sockets / f64::from(scaling.sockets_per_replica);
        if pods.iter().any(|pod| pod.cores.is_none()) {
            return Ok(by_sockets);
        }
        let used = sum(pods, |pod| Ok(self.grown(pod)?.cpu / pod.cores.unwrap_or(f64::INFINITY)))?;
        Ok(by_sockets.max(used * 100.0 / f64::from(scaling.cpu_percent)))
    }

    /// By requests.
    pub(super) fn users(&self, pods: &[&Pod], scaling: &UsersScaling) -> Result<f64, String> {
        let requests = sum(pods, |pod| Ok(self.grown(pod)?.requests))?;
        Ok(requests / f64::from(scaling.requests_per_second))
    }

    fn grown(&self, pod: &Pod) -> Result<Growth, String> {
        told(pod)?;
        self.growth.get(&pod.uid).copied().ok_or_else(|| "has not been measured twice yet".to_owned())
    }
}

/// By how far history is behind: `replicas` that are twice as far behind as is wanted are half of what is needed.
pub(super) fn historians(pods: &[&Pod], scaling: &HistorianScaling, replicas: u32) -> Result<f64, String> {
    let mut lag = 0.0f64;
    sum(pods, |pod| {
        let metrics = told(pod)?;
        let seconds = metrics.get(LAG_SECONDS)?;
        // Of the last event that was stored, however long ago, if none waits.
        if metrics.get(LAG_EVENTS)? > 0.0 {
            lag = lag.max(seconds);
        }
        Ok(0.0)
    })?;
    Ok(f64::from(replicas) * lag / f64::from(scaling.lag_seconds))
}

impl Sample {
    fn of(at: Duration, pod: &Pod) -> Option<Self> {
        let metrics = pod.metrics.as_ref()?;
        // A counter with labels is not there before it counted something.
        Some(Self { at, cpu: metrics.get(CPU).ok()?, requests: metrics.get(REQUESTS).unwrap_or(0.0) })
    }

    /// `None`: the program was started anew meanwhile.
    fn since(&self, before: &Self) -> Option<Growth> {
        let seconds = (self.at.checked_sub(before.at)?).as_secs_f64();
        let (cpu, requests) = (self.cpu - before.cpu, self.requests - before.requests);
        (seconds > 0.0 && cpu >= 0.0 && requests >= 0.0)
            .then(|| Growth { cpu: cpu / seconds, requests: requests / seconds })
    }
}

fn told(pod: &Pod) -> Result<&Metrics, String> {
    pod.metrics.as_ref().ok_or_else(|| "does not answer".to_owned())
}

/// Over all pods; one that ends and does not tell any more carries nothing.
fn sum(pods: &[&Pod], mut of: impl FnMut(&Pod) -> Result<f64, String>) -> Result<f64, String> {
    if pods.is_empty() {
        return Err("no pod runs".to_owned());
    }
    let mut sum = 0.0;
    for pod in pods {
        match of(pod) {
            Ok(value) => sum += value,
            Err(_) if pod.ends => {}
            Err(what) => return Err(format!("{} {what}", pod.name)),
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::deploy::build::GATEWAY;

    fn pod(name: &str, page: Option<&str>) -> Pod {
        Pod {
            name: name.to_owned(),
            uid: name.to_owned(),
            part: GATEWAY,
            ends: false,
            cores: Some(0.5),
            waiting: None,
            metrics: page.map(Metrics::parse),
        }
    }

    fn page(sockets: u32, cpu: f64, requests: u32) -> String {
        format!(
            "# TYPE parlor_sockets gauge\nparlor_sockets {sockets}\n\nprocess_cpu_seconds_total {cpu}\n\
             http_requests_total{{method=\"GET\",route=\"/a b\"}} {requests}\nhttp_requests_total{{method=\"PUT\"}} 1\n"
        )
    }

    fn seen(meter: &mut Meter, second: u64, pods: &[Pod]) {
        meter.see(Duration::from_secs(second), pods);
    }

    const AIM: GatewayScaling = GatewayScaling {
        mode: crate::crd::scaling::Mode::Auto,
        min: 1,
        max: 9,
        sockets_per_replica: 100,
        cpu_percent: 50,
    };

    #[test]
    fn a_page_is_read_and_labels_are_summed() {
        let metrics = Metrics::parse(&page(3, 1.5, 7));
        assert_eq!((metrics.get(SOCKETS), metrics.get(CPU), metrics.get(REQUESTS)), (Ok(3.0), Ok(1.5), Ok(8.0)));
        assert_eq!(metrics.get(LAG_SECONDS).unwrap_err(), "does not tell parlor_historian_lag_seconds");
    }

    #[test]
    fn gateways_are_as_busy_as_sockets_or_processors_say() {
        let mut meter = Meter::default();
        let first = [pod("a", Some(&page(150, 10.0, 0))), pod("b", Some(&page(100, 5.0, 0)))];
        seen(&mut meter, 0, &first);
        let all: Vec<&Pod> = first.iter().collect();
        assert_eq!(meter.gateways(&all, &AIM).unwrap_err(), "a has not been measured twice yet");
        let second = [pod("a", Some(&page(150, 11.0, 0))), pod("b", Some(&page(100, 5.0, 0)))];
        seen(&mut meter, 10, &second);
        let all: Vec<&Pod> = second.iter().collect();
        assert_eq!(meter.gateways(&all, &AIM), Ok(2.5), "0.1 of 0.5 cores is little");
        let third = [pod("a", Some(&page(0, 21.0, 0))), pod("b", Some(&page(0, 10.0, 0)))];
        seen(&mut meter, 20, &third);
        let all: Vec<&Pod> = third.iter().collect();
        // 1 and 0.5 cores in use, of 0.5 that each asked for, half of which is to be used.
        assert_eq!(meter.gateways(&all, &AIM), Ok(6.0));
    }

    #[test]
    fn one_that_does_not_tell_is_no_answer_for_all_unless_it_ends() {
        let mut meter = Meter::default();
        let mut pods = [pod("a", Some(&page(150, 1.0, 0))), pod("b", None)];
        pods[0].cores = None;
        let check = |meter: &Meter, pods: &[Pod; 2]| meter.gateways(&[&pods[0], &pods[1]], &AIM);
        assert_eq!(check(&meter, &pods).unwrap_err(), "b does not answer");
        pods[1].ends = true;
        assert_eq!(check(&meter, &pods), Ok(1.5));
        // A program that started anew counts from zero.
        seen(&mut meter, 0, &[pod("a", Some(&page(1, 9.0, 0)))]);
        let anew = [pod("a", Some(&page(1, 0.1, 0)))];
        seen(&mut meter, 5, &anew);
        assert!(meter.gateways(&[&anew[0]], &AIM).is_err());
        assert_eq!(meter.gateways(&[], &AIM).unwrap_err(), "no pod runs");
    }

    #[test]
    fn users_are_as_busy_as_their_requests_and_historians_as_far_behind() {
        let mut meter = Meter::default();
        seen(&mut meter, 0, &[pod("a", Some("process_cpu_seconds_total 1"))]);
        let pods = [pod("a", Some(&page(0, 1.0, 99)))];
        seen(&mut meter, 10, &pods);
        let aim = UsersScaling { requests_per_second: 5, ..UsersScaling::default() };
        assert_eq!(meter.users(&[&pods[0]], &aim), Ok(2.0));

        let lag = |events: u32, seconds: u32| {
            let page = format!("parlor_historian_lag_events {events}\nparlor_historian_lag_seconds {seconds}");
            let pods = [pod("a", Some(&page)), pod("b", Some(&page))];
            let aim = HistorianScaling { lag_seconds: 5, ..HistorianScaling::default() };
            historians(&[&pods[0], &pods[1]], &aim, 2)
        };
        assert_eq!((lag(7, 10), lag(0, 10)), (Ok(4.0), Ok(0.0)));
    }
}
