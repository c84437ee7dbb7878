# The two commands of the README are `make demo` and `make test`.
# Both install what is missing, by the system's package manager.

export CGO_ENABLED ?= 0
BIN := bin/shiftgrant
TOOL := go tool -modfile=tools/go.mod

.PHONY: demo build man test acceptance test-faults test-race lint fmt fuzz clean

## demo: build, then run the whole flow on this machine (Ctrl-C ends it)
demo: build
	@scripts/need postgresql
	@exec $(BIN) dev

## build: the one binary
build:
	@mkdir -p bin
	go build -trimpath -o $(BIN) ./cmd/shiftgrant

## man: the man pages, into bin/man
man: build
	@$(BIN) man bin/man

## test: the whole suite, with real clients
test: build
	@scripts/need postgresql chromium awscli nodejs npm
	@cd test/clients && npm ci --silent --no-audit --no-fund
	go test -timeout 20m ./...

## acceptance: attack a gateway from outside and print a table; docs/acceptance.md tells how to attack yours
acceptance:
	@[ -n "$$SHIFTGRANT_ACCEPTANCE_URL" ] || scripts/need postgresql chromium
	SHIFTGRANT_ACCEPTANCE=long go test -count=1 -timeout 30m -v ./test/acceptance

## test-faults: the long forms of the tests that kill processes and cut connections
test-faults:
	@scripts/need postgresql
	SHIFTGRANT_FAULTS=long go test -count=1 -timeout 60m -run 'F[0-9][0-9]' ./internal/... ./test/faults/...

## test-race: the suite beside the code under the race detector (needs a C compiler)
test-race:
	@scripts/need postgresql
	CGO_ENABLED=1 go test -race -timeout 30m ./connect/... ./internal/... ./redshift/... ./twin/...

## lint: formatting, vet, staticcheck; govulncheck where its database can be reached
lint:
	@unformatted=$$($(TOOL) gofumpt -l .); if [ -n "$$unformatted" ]; then echo "gofumpt: run 'make fmt' for:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	$(TOOL) staticcheck ./...
	@scripts/vulnerabilities

fmt:
	$(TOOL) gofumpt -w .

## fuzz: every fuzz target for a short while
fuzz:
	scripts/fuzz 10s

clean:
	rm -rf bin test/clients/node_modules
