//! Other users of the same machine, over the real socket. The kernel says who they are.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use birthmark_testkit::tpm::Swtpm;
use serde_json::Value;

use crate::daemon::{bundle, provision, raw};
use crate::running::Place;

/// Users without a name on most machines.
const CAPTURE: u32 = 54_321;
const STRANGER: u32 = 54_322;

const CALL: &str = "import socket, sys
line = socket.socket(socket.AF_UNIX); line.connect(sys.argv[1]); line.sendall(sys.argv[2].encode() + b'\\0')
answer = b''
while not answer.endswith(b'\\0'): answer += line.recv(65536) or sys.exit('the signer hung up')
print(answer[:-1].decode())";

/// Only root can become somebody else; for anybody else the daemon's own test has to be enough,
/// where the caller is the one that is not listed.
#[tokio::test]
async fn captures_user_is_served_and_nobody_else_not_even_root() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: only root can call as two different users");
        return;
    }
    let emulator = Swtpm::start().unwrap();
    let roles = format!("callers = [{CAPTURE}]\nadministrators = [0]\n");
    let place = Place::with_tpm(&emulator, &roles, "");
    let _running = place.start();
    let folder = place.path("");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711)).unwrap();
    provision(&mut place.client().await).await;

    let sign = call(
        "SignBundle",
        "bundle",
        &raw::base64(&bundle("one").encode()),
    );
    let token = call("IssueToken", "commitment", &"ab".repeat(32));
    let salt = call("GpsSalt", "image", &"cd".repeat(32));
    for (user, allowed) in [(CAPTURE, true), (STRANGER, false), (0, false)] {
        for question in [&sign, &token, &salt] {
            let answer = asked_as(user, &place.socket(), question);
            assert_eq!(
                answer.get("error").is_none(),
                allowed,
                "user {user}: {answer}"
            );
        }
    }
    let enrol = call("Enrol", "again", "true").replace("\"true\"", "true");
    let refused = asked_as(CAPTURE, &place.socket(), &enrol);
    assert_eq!(
        refused["error"], "org.birthmark.Signer.NotAllowed",
        "{refused}"
    );
}

fn call(method: &str, parameter: &str, value: &str) -> String {
    let method = format!("org.birthmark.Signer.{method}");
    serde_json::json!({"method": method, "parameters": {parameter: value}}).to_string()
}

fn asked_as(user: u32, socket: &Path, question: &str) -> Value {
    let system = Path::new("/usr/bin/python3");
    // One that lies in root's own folder cannot be used by others.
    let python = if system.exists() {
        system
    } else {
        Path::new("python3")
    };
    let output = Command::new(python)
        .args(["-c", CALL])
        .arg(socket)
        .arg(question)
        .current_dir("/")
        .uid(user)
        .gid(user)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}
