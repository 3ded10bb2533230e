# The commands of this project. `make` alone lists them. Each recipe is a step of CI and calls cargo or a script.
.DEFAULT_GOAL := help
# The same packages and features everywhere: what one recipe builds, the next one uses.
ALL := --locked --workspace --all-features
# gRPC for programs in Python and in Go.
CLIENTS := python3 python3-cryptography python3-grpcio python3-grpc-tools python3-pkg-resources golang-go \
	golang-google-grpc-dev golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev protobuf-compiler protoc-gen-go-1-5 protoc-gen-go-grpc
# A TPM in software, its resource manager and the bus between the two, and the PKCS#11 module before them.
TPM := swtpm tpm2-abrmd libtss2-tcti-swtpm0 libtss2-tcti-tabrmd0 dbus-daemon dbus-bin libtpm2-pkcs11-1

.PHONY: help demo test tokens token-table torture judges judges-packaged bench bench-ab ci fmt clippy doc build proto generate steps wasm instructions deny advisories house-rules clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

demo: ## The main job, end to end, in a throw-away directory
	@scripts/need softhsm2 openssl
	@cargo build $(ALL) --bin rootcellar
	@scripts/demo

test: ## Every test; installs what they need
	@scripts/need softhsm2 opensc openssl gcc libc6-dev $(CLIENTS) $(TPM)
	@scripts/cargo-tool cargo-nextest nextest
	cargo build $(ALL) --lib --bins
	cargo nextest run $(ALL)
	cargo test $(ALL) --doc

tokens: ## The end-to-end tests on SoftHSM2, on a TPM and on Kryoptic; builds the last, some five minutes
	@scripts/need softhsm2 opensc openssl gcc libc6-dev perl libclang-dev $(CLIENTS) $(TPM)
	@scripts/cargo-tool cargo-nextest nextest
	cargo build --locked --release --manifest-path softhsm-tests/kryoptic/Cargo.toml --target-dir target/kryoptic
	cargo build $(ALL) --lib --bins
	cargo nextest run $(ALL) --run-ignored all --filterset 'package(rootcellar-softhsm-tests)'

token-table: ## docs/tokens.md: what five PKCS#11 modules can do of what is needed, and how fast
	@scripts/need softhsm2 opensc gcc perl libclang-dev jq p11-kit-modules libnss3-tools opencryptoki $(TPM)
	cargo build --locked --release --manifest-path softhsm-tests/kryoptic/Cargo.toml --target-dir target/kryoptic
	cargo build $(ALL) --release --lib --bin rootcellar
	scripts/token-table

torture: ## kill -9 of keeper, front and both under load, more than 200 times; ends with zeros
	@scripts/need softhsm2
	cargo build $(ALL) --lib --bins
	target/debug/rootcellar-torture

judges: ## Other people's judges look at every profile and kind of key and at the log, and 10,000 changed copies of a journal are restored; some five minutes after its tools are there
	@scripts/need softhsm2 openssl gnutls-bin openjdk-17-jdk-headless python3 python3-venv
	cargo build $(ALL) --lib --bins
	scripts/judges
	ROOTCELLAR_CORRUPTIONS=10000 cargo test --locked --all-features --package rootcellar-softhsm-tests --test e2e changed_by_chance

judges-packaged: ## Those of the judges that Debian has: OpenSSL, GnuTLS, Java
	@scripts/need softhsm2 openssl gnutls-bin openjdk-17-jdk-headless
	cargo build $(ALL) --lib --bins
	scripts/judges packaged

bench: ## What it costs: a table, target/bench/summary.json and charts; some 6 minutes after its build
	@scripts/need softhsm2
	cargo build $(ALL) --release --lib --bin rootcellar --bin rootcellar-bench
	target/release/rootcellar-bench

instructions: ## The instructions of one issuance in process, held against benches/instructions.json
	@scripts/need valgrind jq
	cargo build $(ALL) --lib --bins
	@scripts/instructions

bench-ab: ## OLD=<commit> side by side with what is checked out: each ratio with its 95 % interval; some 6 minutes after two builds
	@scripts/need softhsm2
	@scripts/bench-ab "$(OLD)"

ci: fmt clippy steps doc wasm test instructions judges-packaged demo proto deny house-rules ## Everything that must pass before a change lands

fmt: ## The format of the code
	cargo fmt --all --check

clippy: ## The lints; a warning is an error
	cargo clippy $(ALL) --all-targets -- --deny warnings

doc: ## The API's documentation; a warning is an error
	RUSTDOCFLAGS="--deny warnings" cargo doc $(ALL) --no-deps

steps: ## No step of a request can be left out: each that is does not compile
	scripts/steps

wasm: ## The pure crates without C, for WebAssembly where its target is there
	scripts/wasm

proto: ## The wire contract: buf's STANDARD rules
	scripts/buf lint proto

generate: ## Generate the code of the wire contract and the reference anew
	ROOTCELLAR_REGENERATE=1 cargo test --package rootcellar-proto --test generated --test reference
	ROOTCELLAR_REGENERATE=1 cargo test --package rootcellar-cli --test reference

deny: ## Bans, licences and sources of the dependencies
	@scripts/cargo-tool cargo-deny deny
	cargo deny --log-level error check bans licenses sources

advisories: ## Known vulnerabilities of the dependencies; needs a network
	@scripts/cargo-tool cargo-deny deny
	cargo deny check advisories

house-rules: ## What no lint sees: who may depend on whom, the length of the map
	@scripts/need jq
	scripts/house-rules

clean: ## Remove what was built
	cargo clean
