//! The names and addresses of this machine.

use std::{fs, net::IpAddr};

use nix::ifaddrs::getifaddrs;

/// The names of this machine in lower case: the host name, then the short name and the full ones.
pub fn names() -> Vec<String> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    names_of(&host.to_string_lossy(), &read("/etc/hosts"), &read("/etc/resolv.conf"))
}

/// The names from the texts of `/etc/hosts` and `/etc/resolv.conf`, which have the full name of a
/// short host name.
fn names_of(host: &str, hosts: &str, resolver: &str) -> Vec<String> {
    let host = host.to_ascii_lowercase();
    let short = host.split('.').next().unwrap_or_default();
    if short.is_empty() || host == "localhost" {
        return Vec::new();
    }
    let lines = |text: &str| {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        lines
            .map(|line| line.split_ascii_whitespace().map(str::to_ascii_lowercase).collect())
            .collect::<Vec<Vec<_>>>()
    };
    // The line of this machine may also have names of other machines.
    let called = |line: &Vec<String>| line.iter().skip(1).any(|name| *name == host);
    let aliases = lines(hosts).into_iter().filter(called).flat_map(|line| line.into_iter().skip(1));
    let aliases = aliases.filter(|name| *name == short || name.starts_with(&format!("{short}.")));
    let domains = lines(resolver)
        .into_iter()
        .filter(|line| matches!(line.first().map(String::as_str), Some("search" | "domain")));
    let full = domains.flat_map(|line| line.into_iter().skip(1)).filter(|_| host == short);
    let full = full
        .filter(|domain| domain != ".")
        .map(|domain| format!("{short}.{}", domain.trim_matches('.')));
    let mut names = vec![host.clone()];
    for name in
        [short.to_owned()].into_iter().chain(aliases).chain(full).chain([format!("{short}.local")])
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The addresses at which other machines may reach this one, IPv4 first.
pub fn outer_addresses() -> Vec<IpAddr> {
    let is_outer = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let mut outer: Vec<_> = addresses().into_iter().filter(is_outer).collect();
    outer.sort_by_key(IpAddr::is_ipv6);
    outer
}

/// The addresses of this machine's interfaces.
pub fn addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten().filter_map(|interface| interface.address);
    let ip = |address: nix::sys::socket::SockaddrStorage| match (
        address.as_sockaddr_in(),
        address.as_sockaddr_in6(),
    ) {
        (Some(address), _) => Some(IpAddr::from(address.ip())),
        (_, Some(address)) => Some(IpAddr::from(address.ip())),
        _ => None,
    };
    interfaces.filter_map(ip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_short_and_full_names() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tHead.Lab.Example head # this one\n10.0.0.9 other.example other\n";
        let resolver = "nameserver 10.0.0.1\nsearch cluster.example .\n";
        assert_eq!(names_of("head.example", "", resolver), ["head.example", "head", "head.local"]);
        assert_eq!(
            names_of("Head", hosts, resolver),
            ["head", "head.lab.example", "head.cluster.example", "head.local"]
        );
        assert_eq!(names_of("head", "127.0.0.1 localhost head", ""), ["head", "head.local"]);
        assert!(
            names_of("localhost", hosts, resolver).is_empty()
                && names_of("", hosts, resolver).is_empty()
        );
    }

    #[test]
    fn the_address_of_loopback_is_among_its_addresses() {
        assert!(addresses().iter().any(IpAddr::is_loopback), "{:?}", addresses());
    }
}
