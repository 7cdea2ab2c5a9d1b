//! Resident memory of a process.

/// Resident bytes now, and the peak (`VmRSS`, `VmHWM`); zeros for a process that is gone.
pub fn resident(pid: Option<u32>) -> (u64, u64) {
    let text = pid.map(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default());
    let text = text.unwrap_or_default();
    let kilobytes = |label: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(label));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
    };
    (kilobytes("VmRSS:"), kilobytes("VmHWM:"))
}
