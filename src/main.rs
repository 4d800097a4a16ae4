//! The binary; the program is in `lib.rs`.

fn main() -> std::process::ExitCode {
    openai_elt::main()
}
