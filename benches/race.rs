//! Running contestants in turn and comparing them round by round.

use std::time::{Duration, Instant};

/// One contestant: what is made ready before each run, unmeasured, and what is measured.
pub struct Contestant<'a> {
    pub name: &'a str,
    pub prepare: Box<dyn FnMut() + 'a>,
    pub run: Box<dyn FnMut() + 'a>,
}

impl<'a> Contestant<'a> {
    pub fn new(name: &'a str, run: impl FnMut() + 'a) -> Self {
        Self { name, prepare: Box::new(|| {}), run: Box::new(run) }
    }

    pub fn prepared(mut self, prepare: impl FnMut() + 'a) -> Self {
        self.prepare = Box::new(prepare);
        self
    }
}

#[derive(Clone, Copy)]
struct Lap {
    wall: Duration,
    cpu: Duration,
    peak_kib: u64,
}

/// Runs every contestant once unmeasured, then all in turn, and prints a table.
pub fn race(title: &str, rounds: usize, mut contestants: Vec<Contestant<'_>>) {
    let mut laps: Vec<Vec<Lap>> = vec![Vec::new(); contestants.len()];
    for round in 0..=rounds {
        for (contestant, laps) in contestants.iter_mut().zip(&mut laps) {
            (contestant.prepare)();
            let lap = measure(&mut contestant.run);
            // The first round fills the caches and is not counted.
            if round > 0 {
                laps.push(lap);
            }
        }
    }
    println!("\n{title} ({rounds} rounds, in turn)");
    println!("| how | wall, median (min-max) | ratio | CPU | peak RSS of this process |");
    println!("|---|---|---|---|---|");
    for (contestant, mine) in contestants.iter().zip(&laps) {
        let walls: Vec<f64> = mine.iter().map(|lap| lap.wall.as_secs_f64()).collect();
        let ratios: Vec<f64> = mine
            .iter()
            .zip(&laps[0])
            .map(|(lap, base)| lap.wall.as_secs_f64() / base.wall.as_secs_f64())
            .collect();
        let cpu: Vec<f64> = mine.iter().map(|lap| lap.cpu.as_secs_f64()).collect();
        let peak = mine.iter().map(|lap| lap.peak_kib).max().unwrap_or(0);
        println!(
            "| {} | {:.3} s ({:.3}-{:.3}) | {:.2} | {:.2} s | {:.1} MiB |",
            contestant.name,
            median(&walls),
            walls.iter().copied().fold(f64::INFINITY, f64::min),
            walls.iter().copied().fold(0.0, f64::max),
            median(&ratios),
            median(&cpu),
            peak as f64 / 1024.0
        );
    }
}

fn measure(run: &mut dyn FnMut()) -> Lap {
    // Resets the high-water mark of resident memory (proc(5), clear_refs).
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let cpu = cpu_time();
    let began = Instant::now();
    run();
    let wall = began.elapsed();
    Lap { wall, cpu: cpu_time().saturating_sub(cpu), peak_kib: peak_kib() }
}

/// The CPU time of this process and of its children that have ended.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // utime, stime, cutime, cstime are fields 14 to 17 of proc(5), counted from 1, two of them before the bracket.
    let ticks: u64 =
        fields.get(11..15).into_iter().flatten().filter_map(|text| text.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn peak_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last * percent).div_ceil(100)).copied().unwrap_or(f64::NAN)
}
