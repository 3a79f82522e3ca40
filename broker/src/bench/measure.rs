//! What a process of this machine uses, as the kernel accounts for it.

use std::{fs, io, iter::Sum, time::Duration};

use super::BenchError;

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, which Linux fixes at 100 for user space.
const TICKS: u64 = 100;

/// Processes whose use is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processes<'a>(pub(super) &'a [u32]);

impl Processes<'_> {
    /// Processor time of all their threads so far.
    pub(super) fn cpu(self) -> Result<Duration, BenchError> {
        self.sum("stat", cpu)
    }

    /// Resident memory in octets.
    pub(super) fn resident(self) -> Result<u64, BenchError> {
        self.sum("status", resident)
    }

    fn sum<T: Sum>(self, file: &str, parse: fn(&str) -> Option<T>) -> Result<T, BenchError> {
        let Self(pids) = self;
        let read = |&pid| {
            fs::read_to_string(format!("/proc/{pid}/{file}"))
                .and_then(|text| parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into()))
                .map_err(|source| BenchError::Server { pid, source })
        };
        pids.iter().map(read).sum()
    }
}

fn cpu(stat: &str) -> Option<Duration> {
    // The name before the last parenthesis may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(Duration::from_millis((user + system) * 1000 / TICKS))
}

fn resident(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_kernel_are_read() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 75 0 0 20 0 4 0 100 200 300";
        assert_eq!(cpu(stat), Some(Duration::from_millis(3250)));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1028 kB\nVmData:\t 1 kB\n"), Some(1028 * 1024));
        assert_eq!((cpu("nonsense"), resident("nonsense")), (None, None));
    }

    #[test]
    fn what_several_processes_use_is_added_up() {
        let own = std::process::id();
        let (one, two) = (Processes(&[own]), Processes(&[own, own]));
        assert!(two.resident().unwrap() > one.resident().unwrap());
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Processes(&[std::process::id(), u32::MAX]).cpu().unwrap_err();
        assert!(error.to_string().contains("4294967295"), "{error}");
    }
}
