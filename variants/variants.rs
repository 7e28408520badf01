// Empty: Cargo.toml files keep the shape of crates so that Cargo's tools can read them, but nothing here is Rust.
