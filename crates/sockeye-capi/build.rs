//! Names the shared library inside itself as programs of 2011 expect it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libwebsockets.so.0");
}
