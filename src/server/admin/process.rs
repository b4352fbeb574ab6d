//! What the operating system says of this process, where it is Linux.

use std::fs;

/// The kernel tells times in hundredths of a second, on every architecture that servers run on.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
}

impl Process {
    /// Nothing, where there is no such file system.
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Some(Self { cpu_seconds: cpu_seconds(&stat)?, resident_bytes: resident_bytes(&status)? })
    }
}

/// Fields 14 and 15 of proc_pid_stat(5): user and system time. The second field is a name in
/// parentheses, which may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(14 - 3);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// `VmRSS` of proc_pid_status(5), in KiB.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_past_a_name_of_any_kind() {
        let stat = "1234 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 1 2 20 0 8 0 99";
        assert_eq!(cpu_seconds(stat), Some(1.75));
        assert_eq!(cpu_seconds("1234 (hallpass) S 1 2"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(resident_bytes("Name:\thallpass\nVmRSS:\t   12052 kB\nThreads:\t3\n"), Some(12_341_248));
        assert_eq!(resident_bytes("Name:\tzombie\n"), None);
    }
}
