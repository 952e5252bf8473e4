//! Users of this machine by name, from wherever it keeps them: `/etc/passwd`, systemd's dynamic
//! users, a directory.

/// The number of the user with this name, if there is one.
pub fn id_of(name: &str) -> Option<u32> {
    uzers::get_user_by_name(name).map(|user| user.uid())
}

/// The number of the user with this name and of its first group.
pub fn ids_of(name: &str) -> Option<(u32, u32)> {
    uzers::get_user_by_name(name).map(|user| (user.uid(), user.primary_group_id()))
}

/// The name of the user this process runs as, if it has one.
pub fn own_name() -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    // A name that is not text can stand in no address and no file of ours.
    uzers::get_user_by_uid(own)?
        .name()
        .to_str()
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_the_machine() {
        assert_eq!(ids_of("root"), Some((0, 0)));
        assert_eq!(id_of("no-such-user-here"), None);
        let output = std::process::Command::new("id")
            .arg("-un")
            .output()
            .unwrap();
        let own = String::from_utf8(output.stdout).unwrap();
        assert_eq!(own_name().as_deref(), Some(own.trim()));
    }
}
