//! The binary `petiole-runner`: see the library.

fn main() -> std::process::ExitCode {
    petiole_runner::main(std::env::args_os().skip(1))
}
