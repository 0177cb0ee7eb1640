# linnet: what can be made; `make help` lists it. `make check` is for while you work, `make demo` shows the main job, `make test` proves the rest.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/linnet-dev/linnet/pkg/agent.Version=$(VERSION)
# A release knows the digests of the images that go with it: IMAGE_AMD64 and IMAGE_ARM64, as `sha256:...`. They are the client's
# alone: the agent is in the image, and its bytes must not depend on the image's digest.
GUEST    := github.com/linnet-dev/linnet/pkg/guestimage
DIGESTS  := $(if $(IMAGE_AMD64),-X $(GUEST).digestAMD64=$(IMAGE_AMD64)) $(if $(IMAGE_ARM64),-X $(GUEST).digestARM64=$(IMAGE_ARM64))
CLIENTS  := $(if $(strip $(DIGESTS)),$(foreach p,linnet linnet-build linnet-compose linnet-lint,-ldflags 'github.com/linnet-dev/linnet/cmd/$(p)=$(LDFLAGS) $(DIGESTS)'))
# grpcnotrace: without gRPC's debugging pages, whose templates take a fifth of the time that the client needs to start.
BUILD    := go build -tags grpcnotrace -trimpath -ldflags '$(LDFLAGS)' $(CLIENTS)
# What is made for another architecture than this machine's stands beside what is made for this one.
HOSTARCH := $(shell go env GOHOSTARCH)
FOREIGN  := $(filter-out $(HOSTARCH),$(ARCH))
TARGET   := $(or $(FOREIGN),$(HOSTARCH))
SUFFIX   := $(addprefix -,$(FOREIGN))
LABARCH  := $(if $(FOREIGN),LINNET_LAB_ARCH=$(FOREIGN))
FORARCH  := $(if $(FOREIGN),GOOS=linux GOARCH=$(FOREIGN))
# What needs more than Go and its modules has this tag: an engine, root, the pinned sources and so a network.
E2E      := -tags e2e
UNIT      = $(shell go list $(E2E) ./... | grep -v /e2e/)
LINT     := _output/tools/bin/golangci-lint
NFPM     := _output/tools/bin/nfpm
ACTIONS  := _output/tools/bin/actionlint

# In order: `make -j` must not test what is being built.
.NOTPARALLEL:

.PHONY: help all build deps image pack-image system clean check lint cross test-unit test-unit-arm64 test-differential test-seeds test-fuzz e2e test test-mends test-e2e test-chaos test-docker-core test-docker test-vm-smoke vm-tree test-limactl test-vm test-install demo bench bench-vm picture sbom dist dist-twice lint-workflows update record-limactl

##@ Make it

all: build deps ## the client, the agent and every component

help: ## this list
	@awk -F ':.*## ' '/^##@ / { printf "%s%s:\n", nl, substr($$0, 5); nl = "\n" } /^[a-z][a-z0-9-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

build: ## bin/linnet and the programs that it becomes or sends; ARCH=arm64: Linux's for arm64, into bin-arm64
	@CGO_ENABLED=0 $(FORARCH) $(BUILD) -o bin$(SUFFIX)/ ./cmd/...
	@CGO_ENABLED=0 $(FORARCH) GOOS=linux go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o bin$(SUFFIX)/ ./cmd/linnet-env # steps are cached by its bytes

deps: ## every third-party component this host needs, into libexec/linnet; ARCH=arm64: into libexec/linnet-arm64
	@go run ./deps/build -arch $(TARGET)

image: PURPOSES = build vm $(FOREIGN)
image: system build deps ## the guest's disk, kernel and initrd, into libexec/linnet/image, or with ARCH into libexec/linnet-ARCH/image (as root)
	@go run ./deps/build -arch $(TARGET) lima
	@deps/image/bake.sh $(TARGET)

pack-image: ## the baked image of ARCH as one file, with its digest, in _output/dist
	@go run ./deps/image/pack -version $(VERSION) $(if $(ARCH),-arch $(ARCH))

system: ## the Debian packages that building, testing and the demo need (as root)
	@deps/system.sh $(PURPOSES)

clean: ## what was built here; caches outside the repository stay
	@rm -rf bin bin-* libexec _output

##@ While you work (no root, no engine)

check: $(LINT) ## formatting, go.mod, vet and the quick tests
	@$(LINT) fmt --diff
	@go mod tidy -diff
	@go vet $(E2E) ./... # with the tag there is more to vet, and nothing less
	@go test -vet=off -short -p 4 ./... # some tests wait while others work

$(LINT): deps/tools/go.mod deps/tools/go.sum
	@go run ./deps/build -tools golangci-lint && touch $@

lint: $(LINT) ## formatting, import rules and everything else that .golangci.yml explains; go.mod
	@$(LINT) run ./...
	@go mod tidy -diff

cross: ## the client compiles for every platform it is meant for, and vets where lint does not see the types; darwin/amd64's are darwin/arm64's
	@for p in darwin/arm64 darwin/amd64 linux/arm64; do \
		echo "cross $$p" && export CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} && \
		go build -o _output/cross/$$p/ ./cmd/linnet ./cmd/linnet-build ./cmd/linnet-compose ./cmd/linnet-lint || exit 1; \
		[ $$p = darwin/amd64 ] || go vet $(E2E) ./... || exit 1; done

test-differential: ## the parser against nerdctl's own, with the coverage per command; the lines are a commit's own, or LINNET_SEED's
	@go test $(E2E) -count=1 -v -run '^TestDifferential' ./pkg/nerdctl

test-seeds: SEEDS = 20
test-seeds: ## the same SEEDS times, each with other lines; half a minute each
	@LINNET_SEED=random go test $(E2E) -count=$(SEEDS) -timeout 0 -run '^TestDifferential' ./pkg/nerdctl

test-fuzz: ## each fuzz target for a few seconds
	@deps/fuzz.sh 5s

##@ As root: the rest of the tests, and the real engine

e2e: build deps ## RUN=REGEXP: the native tests whose names match
	@[ -n '$(RUN)' ] || { echo 'hint: make e2e RUN=TestRun; all of them are make test-e2e' >&2; exit 2; }
	@go test $(E2E) -count=1 -v -timeout 45m -run '$(RUN)' ./e2e/native

# Seconds that each part of the tests may take with filled caches, on two cores; LEDGER is for all of them. The goal for all is 780.
LEDGER := 1800
PARTS  := system=30 build=90 deps=60 lint=240 lint-workflows=60 cross=120 test-mends=90 test-unit=480 test-differential=60 test-fuzz=120 test-e2e=1000 test-docker-core=300 test-vm-smoke=600 test-limactl=60

test: ## everything; what CI runs; it ends with what each part took, and fails where that is more than its budget
	@MAKE='$(MAKE)' deps/ledger.sh $(LEDGER) $(PARTS)

test-unit: ## unit, golden and script tests, root's own too, with the race detector
	@go test $(E2E) -race -shuffle=on -skip '^Test(Differential|LimactlAccepts)' $(UNIT)

# Packages whose tests run in one process. A test that starts programs (its own binary as a fake peer, scripts with fakes, the Go command) has
# to start them through the emulator, which -exec does for the first process alone: so not pkg/agentserver, pkg/build, pkg/cli, pkg/client,
# pkg/engine, pkg/host, pkg/lima, pkg/native, pkg/registry, pkg/relay, deps and their parts. They run on a machine with arm64. Nor does the race detector
# work under emulation, nor is the kernel that answers an arm64 one, which is what TestThisMachineAnswers is about.
EMULATED := $(addprefix ./pkg/,agent build/options build/state compose crossing emulate guest hint nerdctl report route settings streams vm)
test-unit-arm64: ## the quick tests of packages that start no programs, built for arm64 and run by QEMU's user emulator
	@CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go test -short -exec qemu-aarch64-static -skip '^TestThisMachineAnswers$$' $(EMULATED)

test-mends: deps ## go vet and upstream's own tests on each mended package, and the command program's own
	@go run ./deps/build -check
	@cd deps/nerdctl && go vet . && go test .

test-e2e: build deps ## the finished linnet on the real engine, natively
	@go test $(E2E) -shuffle=on -count=1 -parallel 2 -timeout 45m ./e2e/native ./e2e/internal/... ./e2e/peers/... # most of their time is waiting

test-chaos: build deps ## 300 random kills of the engine's processes, seeded (LINNET_CHAOS_SEED), natively (half an hour)
	@LINNET_CHAOS_KILLS=$${LINNET_CHAOS_KILLS:-300} LINNET_CHAOS_SEED=$${LINNET_CHAOS_SEED:-$$(date +%s)} \
		go test $(E2E) -v -count=1 -timeout 90m -run '^TestRandomKills$$' ./e2e/native

test-docker-core: build deps ## Docker's API on the real engine, natively: everything but clients of Node, with fewer kills
	@go test $(E2E) -short -count=1 -timeout 20m ./e2e/docker

test-docker: build deps ## all of Docker's API, natively: clients of Node by npm, twenty kills of dockerd
	@go test $(E2E) -v -count=1 -timeout 60m ./e2e/docker

test-vm-smoke: build image ## the main job once in a real virtual machine (an ordinary user is made for it); ARCH=arm64: in an emulated one
	@$(LABARCH) go test $(E2E) -v -count=1 -timeout $(if $(FOREIGN),90m,25m) -run '^TestSmoke$$' ./e2e/vm

vm-tree: build image
	@e2e/vm/tree.sh $(TARGET) _output/vm-$(TARGET) $(VERSION)

test-limactl: build image ## the real limactl takes the configurations that are rendered for it
	@go test $(E2E) -count=1 -run '^TestLimactlAccepts' ./pkg/lima

test-vm: $(if $(FOREIGN),test-vm-smoke,build image) ## everything in a real virtual machine; ARCH=arm64: test-vm-smoke
	@$(if $(FOREIGN),:,go test $(E2E) -v -count=1 -timeout 120m ./e2e/vm)

# Two versions of this tree, since one is updated to the other; AGAIN=1 takes those that are there.
test-install: PURPOSES = build install
test-install: system deps $(NFPM) ## the packages and install.sh on an empty Debian 12 and 13, in namespaces: install, run, update, remove
	@go run ./deps/build lima
	@$(if $(AGAIN),:,for v in v0.0.1 v0.0.2; do go run ./installer/dist -nfpm $(NFPM) -version $$v -os linux -arch $(HOSTARCH) -out _output/install/$$v || exit 1; done)
	@go test $(E2E) -v -count=1 -timeout 60m ./e2e/install

demo: PURPOSES = build run demo
demo: system build deps ## the main job on real input
	@examples/demo/demo.sh

bench: build deps bench-vm ## linnet beside nerdctl, natively and in a virtual machine, in one run
	@go run ./e2e/bench

bench-vm: build image ## the virtual machine beside ssh, limactl shell and what finch does
	@go run ./e2e/bench -vm

##@ For pins and releases

picture: build deps ## the terminal in the README, docs/terminal.svg, from a real run (as root)
	@mkdir -p _output && go run ./e2e/picture >_output/terminal.svg && mv _output/terminal.svg docs/

sbom: deps ## what the components are made of, mends included (CycloneDX), on standard output
	@go run ./deps/build -sbom

dist: $(NFPM) ## what a release consists of, into _output/dist; ARCH=amd64 and OS=linux leave the others out, STRICT=1 refuses what no release may be
	@go run ./installer/dist -nfpm $(NFPM) $(if $(ARCH),-arch $(ARCH)) $(if $(OS),-os $(OS)) $(if $(STRICT),-strict)

# Each in a module of its own: what they depend on does not agree.
$(NFPM) $(ACTIONS): _output/tools/bin/%: installer/tools/%/go.mod installer/tools/%/go.sum
	@mkdir -p $(@D) && go build -C installer/tools/$* -trimpath -mod=readonly -o $(CURDIR)/$(@D)/ tool && touch $@

dist-twice: PURPOSES = build vm $(if $(ARCH),$(FOREIGN),arm64)
dist-twice: system ## a release made twice, the second time with empty caches, is the same (as root; hours, or with ARCH=amd64 a quarter of one)
	@installer/twice.sh $(ARCH)

lint-workflows: $(ACTIONS) ## the workflows of .github
	@$(ACTIONS) -no-color

update: ## generated code and golden files
	@go run ./pkg/nerdctl/internal/gen
	@go run ./pkg/build/options/internal/gen
	@UPDATE=1 go test ./...
	@[ "$$(id -u)" != 0 ] || UPDATE=1 go test $(E2E) -run '^TestVMScriptsOfRoot$$' ./pkg/cli

record-limactl: deps image ## what the tests' limactl answers, from the real one (as root; some minutes)
	@RECORD_LIMACTL=1 go test -count=1 -v -run '^TestRecord$$' -timeout 30m ./pkg/lima/limatest
