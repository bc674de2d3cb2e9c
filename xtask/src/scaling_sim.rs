//! `scaling-sim`: a day of sockets, and the gateways that the operator's own decision gives it, as a picture. All arithmetic is that of
//! every machine, so that the picture is the same everywhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use scaling::{Bounds, Scaler};

use crate::layout::Layout;

/// The picture, below `docs/scaling`.
const FILE: &str = "day.svg";
/// Between two decisions, as in the operator.
const EVERY: u32 = 5;
/// From the decision until a new gateway takes sockets.
const START: u32 = 10;
const DAY: u32 = 24 * 60 * 60;
const BOUNDS: Bounds = Bounds { min: 2, max: 20 };
/// The default of `socketsPerReplica`.
const SOCKETS: f64 = 5000.0;
/// Sockets at certain hours; straight lines between them. At one o'clock a gateway of another platform fails over to this one; at a
/// quarter past three its sockets go back.
const HOURS: [(f64, f64); 12] = [
    (0.0, 9_000.0),
    (4.0, 3_000.0),
    (6.0, 6_000.0),
    (9.0, 52_000.0),
    (12.0, 60_000.0),
    (13.0, 55_000.0),
    (13.02, 84_000.0),
    (15.25, 82_000.0),
    (15.3, 56_000.0),
    (17.5, 60_000.0),
    (20.0, 24_000.0),
    (24.0, 9_000.0),
];
/// Seconds of the day in which a gateway does not answer.
const BLIND: std::ops::Range<u32> = 18 * 3600..18 * 3600 + 20 * 60;

/// What happened at one moment.
struct Moment {
    second: u32,
    /// In gateways.
    load: f64,
    known: bool,
    /// That run.
    running: u32,
}

/// Writes the picture and says what it shows.
pub(crate) fn run() -> Result<()> {
    let folder = Layout::new(None, 0)?.root.join("docs/scaling");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    for (name, text) in files() {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        println!("{}", path.display());
    }
    println!("{}", summary(&day()));
    Ok(())
}

/// The picture, by its name.
pub(crate) fn files() -> BTreeMap<String, String> {
    [(FILE.to_owned(), picture(&day()))].into()
}

fn day() -> Vec<Moment> {
    let mut scaler = Scaler::default();
    let mut noise = Noise(7);
    let (mut wanted, mut running) = (BOUNDS.min, BOUNDS.min);
    let mut starting: Option<(u32, u32)> = None;
    let mut moments = Vec::new();
    for second in (0..DAY).step_by(EVERY as usize) {
        if let Some((at, gateways)) = starting
            && at <= second
        {
            (running, starting) = (gateways, None);
        }
        let load = sockets(f64::from(second) / 3600.0) * (1.0 + 0.03 * noise.next()) / SOCKETS;
        let known = !BLIND.contains(&second);
        let now = Duration::from_secs(u64::from(second));
        let decided = scaler.decide(now, BOUNDS, wanted, known.then_some(load));
        if decided > wanted {
            starting = Some((second + START, decided));
        } else if decided < wanted {
            running = decided;
        }
        wanted = decided;
        moments.push(Moment { second, load, known, running });
    }
    moments
}

fn sockets(hour: f64) -> f64 {
    let next = HOURS.iter().position(|(at, _)| *at >= hour).unwrap_or(HOURS.len() - 1).max(1);
    let ((from, low), (to, high)) = (HOURS[next - 1], HOURS[next]);
    low + (high - low) * (hour - from) / (to - from)
}

/// From -1 to 1, always the same row.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 16) / 32_768.0 - 1.0
    }
}

fn summary(day: &[Moment]) -> String {
    let steps = |up: bool| {
        let pairs = day.windows(2).map(|pair| (pair[0].running, pair[1].running));
        pairs.filter(|(before, after)| if up { after > before } else { after < before }).count()
    };
    let most = day.iter().map(|moment| moment.running).max().unwrap_or_default();
    let seconds = |which: &dyn Fn(&Moment) -> bool| day.iter().filter(|moment| which(moment)).count() * EVERY as usize;
    let over = seconds(&|moment| moment.load > f64::from(moment.running) * 1.25);
    let blind = seconds(&|moment| !moment.known);
    let hours: f64 = day.iter().map(|moment| f64::from(moment.running * EVERY)).sum::<f64>() / 3600.0;
    format!(
        "{BOUNDS:?}: up {} times, down {} times, at most {most} gateways; {over} s of the day above what is wanted by more than a quarter, {blind} s without data; \
         {hours:.0} gateway hours, {} if there were always {most}",
        steps(true),
        steps(false),
        most * 24,
    )
}

/// Of the drawing, in its own units.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const MARGIN: f64 = 40.0;

fn x(second: u32) -> f64 {
    MARGIN + f64::from(second) / f64::from(DAY) * (WIDTH - 2.0 * MARGIN)
}

fn y(gateways: f64) -> f64 {
    HEIGHT - MARGIN - gateways / f64::from(BOUNDS.max) * (HEIGHT - 2.0 * MARGIN)
}

fn picture(day: &[Moment]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>A day of load and the gateways that it gets</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    // Writing to a string cannot fail.
    for gateways in (0..=BOUNDS.max).step_by(5) {
        let y = y(f64::from(gateways));
        writeln!(
            svg,
            "<path d=\"M{MARGIN} {y:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"12\" y=\"{:.1}\">{gateways}</text>",
            WIDTH - MARGIN,
            y + 4.0
        )
        .ok();
    }
    for hour in (0..=24).step_by(3) {
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{hour}:00</text>",
            x(hour * 3600),
            HEIGHT - 18.0
        )
        .ok();
    }
    let (left, right) = (x(BLIND.start), x(BLIND.end));
    writeln!(
        svg,
        "<rect x=\"{left:.1}\" y=\"{MARGIN}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#eee\"/>",
        right - left,
        HEIGHT - 2.0 * MARGIN
    )
    .ok();
    writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#777\">no data</text>",
        f64::midpoint(left, right),
        MARGIN - 6.0
    )
    .ok();
    // A point a minute is all that can be seen.
    let minutes = day.iter().filter(|moment| moment.second % 60 == 0);
    let load: Vec<String> = minutes.map(|moment| format!("{:.1},{:.1}", x(moment.second), y(moment.load))).collect();
    writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#c60\"/>", load.join(" ")).ok();
    writeln!(svg, "<path d=\"{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>", staircase(day)).ok();
    writeln!(svg, "<text x=\"60\" y=\"24\" fill=\"#06c\">gateways</text><text x=\"130\" y=\"24\" fill=\"#c60\">sockets, in gateways of {SOCKETS}</text>").ok();
    svg.push_str("</svg>\n");
    svg
}

fn staircase(day: &[Moment]) -> String {
    let mut path = format!("M{:.1} {:.1}", x(0), y(f64::from(day[0].running)));
    for pair in day.windows(2).filter(|pair| pair[0].running != pair[1].running) {
        write!(path, "H{:.1}V{:.1}", x(pair[1].second), y(f64::from(pair[1].running))).ok();
    }
    write!(path, "H{:.1}", x(DAY)).ok();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_carried_within_its_bounds_and_nothing_is_decided_without_data() {
        let day = day();
        assert!(day.iter().all(|moment| (BOUNDS.min..=BOUNDS.max).contains(&moment.running)));
        let blind: Vec<&Moment> = day.iter().filter(|moment| !moment.known).collect();
        assert!(blind.iter().all(|moment| moment.running == blind[0].running));
        let short = day.iter().filter(|moment| moment.load > f64::from(moment.running) * 1.25).count();
        assert!(short * (EVERY as usize) < 60, "{short}");
    }
}
