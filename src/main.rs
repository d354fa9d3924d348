//! The `ripcord` program: parse, run, exit.

fn main() -> std::process::ExitCode {
    ripcord::cli::main()
}
