//! The example of mode `Exec` that `docs/task-contract.md` shows: what it says on that page it does here.

use std::os::unix::fs::symlink;
use std::path::Path;

use petiole_contract::control::{Start, Status};
use petiole_contract::exec::{RETRIES, Report, Request, TASK_ID, TASK_NAME, Verdict};

use crate::rig::{Rig, sh};

const HANDLER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/handlers/shell/handler.sh");

fn tidy(process: u64, style: &str) -> Start {
    let env = [(TASK_ID, "e3"), (TASK_NAME, "demo.tidy"), (RETRIES, "0")];
    Start {
        command: vec![HANDLER.to_owned(), style.to_owned()],
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..sh(process, "")
    }
}

fn request(args: &str) -> Vec<u8> {
    let (args, kwargs) = (args.as_bytes(), &b"{}"[..]);
    Request { id: "e3", task: "demo.tidy", args, kwargs, ..Request::default() }.to_json()
}

#[test]
fn the_shell_example_returns_a_value() {
    let mut rig = Rig::new();
    let (exited, payload) = rig.run(tidy(1, "lower"), &request(r#"["My Photo.JPG"]"#));
    assert_eq!(exited.status, Status::Code(0), "{}", exited.stderr);
    assert_eq!(serde_json::from_slice::<String>(&payload[..exited.output]).unwrap(), "my_photo.jpg");
    assert_eq!(exited.stderr, "demo.tidy e3 (retry 0): 'My Photo.JPG'\n");
}

#[test]
fn the_shell_example_works_without_jq() {
    let mut rig = Rig::new();
    let bin = rig.folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["sh", "cat", "sed", "tr"] {
        let program = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(name));
        symlink(program.iter().find(|path| path.exists()).unwrap(), bin.join(name)).unwrap();
    }
    let mut start = tidy(1, "upper");
    start.env.push(("PATH".to_owned(), bin.display().to_string()));
    let (exited, payload) = rig.run(start, &request(r#"[ "My Photo.jpg" , 1]"#));
    assert_eq!(exited.status, Status::Code(0), "{}", exited.stderr);
    assert_eq!(payload, b"\"MY_PHOTO.JPG\"\n");
}

#[test]
fn the_shell_example_asks_for_a_retry() {
    let mut rig = Rig::new();
    let (exited, _) = rig.run(tidy(1, "later"), &request(r#"["a"]"#));
    assert_eq!(exited.status, Status::Code(75));
    assert_eq!(Verdict::of(75), Verdict::Retry);
}

#[test]
fn the_shell_example_names_the_exception() {
    let mut rig = Rig::new();
    let (exited, payload) = rig.run(tidy(1, "odd"), &request(r#"["a"]"#));
    assert_eq!(exited.status, Status::Code(2));
    let report: Report = serde_json::from_slice(&payload[exited.output..]).unwrap();
    let error = report.error.unwrap();
    assert_eq!((error.kind.as_str(), error.message.as_str()), ("ValueError", "style is lower or upper"));

    let (exited, _) = rig.run(tidy(2, "lower"), &request("[]"));
    assert_eq!(exited.status, Status::Code(1));
    assert!(exited.stderr.ends_with("the first argument has to be a name\n"));
}
