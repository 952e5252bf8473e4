//! What somebody with probes on the wires between the processor and the chip can read.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use birthmark_protocol::Digest;
use birthmark_signer::tpm::Tpm;
use birthmark_testkit::tpm::Swtpm;

use crate::chip::HANDLE;

/// Every byte that went over the wires, in both directions.
type Heard = Arc<Mutex<Vec<u8>>>;

/// Wires of our own between the signer and the emulator.
struct Probes {
    port: u16,
    heard: Heard,
}

impl Probes {
    fn on(emulator: &Swtpm) -> Self {
        let tcti = emulator.tcti();
        let chip: u16 = tcti.rsplit('=').next().unwrap().parse().unwrap();
        let heard = Heard::default();
        let (commands, control) = listeners();
        let port = commands.local_addr().unwrap().port();
        for (listener, to) in [(commands, chip), (control, chip + 1)] {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || forward(&listener, to, &heard));
        }
        Self { port, heard }
    }

    fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    fn heard(&self, bytes: &[u8]) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.windows(bytes.len()).any(|part| part == bytes)
    }
}

/// Two neighbouring ports: for commands, and for the emulator's control.
fn listeners() -> (TcpListener, TcpListener) {
    for _ in 0..100 {
        let commands = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let Some(next) = commands.local_addr().unwrap().port().checked_add(1) else {
            continue;
        };
        if let Ok(control) = TcpListener::bind((Ipv4Addr::LOCALHOST, next)) {
            return (commands, control);
        }
    }
    panic!("no two neighbouring ports are free");
}

fn forward(listener: &TcpListener, to: u16, heard: &Heard) {
    for near in listener.incoming() {
        let near = near.unwrap();
        let far = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap();
        for (from, to) in [
            (near.try_clone().unwrap(), far.try_clone().unwrap()),
            (far, near),
        ] {
            let heard = Arc::clone(heard);
            std::thread::spawn(move || carry(from, to, &heard));
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, heard: &Heard) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        heard.lock().unwrap().extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn no_secret_travels_in_the_clear_between_the_signer_and_the_chip() {
    let emulator = Swtpm::start().unwrap();
    let probes = Probes::on(&emulator);
    let mut chip = Tpm::new(
        probes.tcti().parse().unwrap(),
        HANDLE,
        crate::chip::auth(),
        None,
    );
    chip.enrol().unwrap();
    let secret: [u8; 128] = std::array::from_fn(|place| (place as u8).wrapping_mul(37) ^ 0x5A);
    let bound: [u8; 32] = std::array::from_fn(|place| (place as u8).wrapping_mul(91) ^ 0xC3);
    let (blob, tied) = (
        chip.seal(&secret, &[]).unwrap(),
        chip.seal(&bound, &[7]).unwrap(),
    );
    assert_eq!(chip.unseal(&blob).unwrap().as_slice(), secret);
    assert_eq!(chip.unseal(&tied).unwrap().as_slice(), bound);
    let digest = Digest::of(b"a bundle");
    let signature = chip.sign(&digest).unwrap();

    assert!(
        probes.heard(&signature.to_bytes()[..32]),
        "the probes are not on the wires"
    );
    for part in secret.chunks(16).chain(bound.chunks(16)) {
        assert!(!probes.heard(part), "a part of a secret was heard");
    }
    assert!(
        !probes.heard(digest.as_bytes()),
        "what is to be signed could be read, and so exchanged"
    );
}
