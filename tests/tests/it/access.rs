//! Who may talk to the coordinator, and what those can do to it who may not: real processes, with files from `swfn-coordinator certs`.

mod cluster;
mod doors;
mod floods;
mod identity;
mod limits;
