# Everything a contributor needs; `make help` lists it.
.DEFAULT_GOAL := help
BUILT := dist/.built
SOURCES := $(shell find proto server clients -type f \( -name '*.ts' -o -name '*.tsx' -o -name '*.css' -o -name '*.html' -o -name '*.proto' \) -not -path 'proto/gen/*') \
	buf.gen.yaml tsconfig.json tsconfig.build.json package.json

.PHONY: help install build demo run test conformance check check-lint check-types format faults bench bench-peers bench-clients bench-page bench-growth profile clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 16

node_modules/.installed: package.json package-lock.json
	JOBS=max npm ci --no-audit --no-fund
	@touch $@

install: node_modules/.installed ## install the packages

$(BUILT): $(SOURCES) node_modules/.installed
	npm run --silent build
	@touch $@

build: $(BUILT) ## generate code from proto/ and compile to dist/

demo: build ## stream a run, kill the daemon half-way, get every row back
	node dist/clients/cli/demo.js

run: build ## serve until Ctrl-C, with the page at http://127.0.0.1:8080
	@echo 'The page: http://127.0.0.1:8080/'
	node dist/bin/optistore.js serve --web 127.0.0.1:8080

test: build ## all tests, against real daemons
	npx vitest run

conformance: build ## every client through every scenario, and the table of it
	npx vitest run test/conformance; result=$$?; cat dist/conformance.md; exit $$result

faults: build ## the long campaigns of faults (many minutes; FAULTS_SEED=n FAULTS_ROUND=n replays a round)
	FAULTS=long npx vitest run test/faults

check: build ## format, lint, types, contract
	$(MAKE) --jobs=2 --output-sync check-lint check-types

check-lint:
	npx eslint .
	npx buf lint
	npx buf breaking --against proto/released/v1.binpb

check-types:
	npx prettier --check .
	npx tsc --noEmit
	npx tsc --noEmit -p clients/web
	npx tsc --noEmit -p test/web

bench: build ## the figures of this machine (minutes; BENCH_TIMES=1 is quicker, BENCH_PARTS=bulk,rows are some of them)
	npx tsc -p tsconfig.bench.json
	node dist/test/bench/main.js $(PEERS)
	npx prettier --write --log-level warn docs/performance.md test/bench/results

bench-peers: PEERS := numpy peers
bench-peers: bench ## the same, and what users would pick instead, in the same run (another 20 minutes)

bench-clients: build ## the Python client, the callback for Optuna and Connect by themselves (10 minutes)
	npx tsc -p tsconfig.bench.json
	BENCH_PARTS=transports,python,optuna node dist/test/bench/main.js
	npx prettier --write --log-level warn docs/performance.md

bench-page: build ## the page by itself, in Chromium (3 minutes)
	npx tsc -p tsconfig.bench.json
	BENCH_PARTS=page node dist/test/bench/main.js
	npx prettier --write --log-level warn docs/performance.md

bench-growth: build ## start-up, lookups and memory with up to 10⁶ results, and large ones (15 minutes; BENCH_LARGE=1: 20 GB as well)
	npx tsc -p tsconfig.bench.json
	BENCH_TIMES=1 BENCH_PARTS=growth node dist/test/bench/main.js
	npx prettier --write --log-level warn docs/performance.md

profile: build ## where the daemon's processor time goes under a part of the bench (PART=bulk)
	npx tsc -p tsconfig.bench.json
	BENCH_PROFILE=1 BENCH_TIMES=1 BENCH_PARTS=$(or $(PART),bulk) node dist/test/bench/main.js
	@echo 'Flame graphs: npx speedscope dist/profile/daemon-*.cpuprofile, or load them into https://speedscope.app or the developer tools of Chrome.'

audit: install ## known vulnerabilities of what the daemon and its client depend on
	npm audit --omit=dev

format: install ## bring all files into form
	npx prettier --write --log-level warn .

clean: ## remove what was built
	rm -rf dist proto/gen node_modules .venv .tools
