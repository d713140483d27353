# What can be done here; `make` lists it. Packages are Debian 12's and are installed when missing (sudo only where you are not root).
.DEFAULT_GOAL := help
PRESET ?= dev
BUILD = $(if $(filter dev,$(PRESET)),build,build-$(PRESET))
JOBS ?= $(shell nproc)
CUDA ?= OFF
PROMPT ?= Once upon a time
MODELS ?= models
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 300
PACKAGES = cmake ninja-build g++ pkg-config ccache mold libhwy-dev nlohmann-json3-dev libcli11-dev libfmt-dev libutf8proc-dev libpcre2-dev \
  libzstd-dev libtomlplusplus-dev libedit-dev libopenblas-openmp-dev libgtest-dev
BENCHES = $(notdir $(patsubst bench/%.cc,bench_%,$(wildcard bench/*.cc)))
NINJA = cmake --build $(BUILD) --parallel $(JOBS)
CTEST = ctest --test-dir $(BUILD) --parallel $(JOBS) --output-on-failure

ifeq ($(PRESET),mpi)
PACKAGES += libopenmpi-dev openmpi-bin
endif
ifeq ($(PRESET),release)
PACKAGES += gfortran   # its library: OpenBLAS' LAPACK wants it where it is linked statically
endif
.PHONY: help setup configure run test build bench cuda mpi test-cuda asan tsan fuzz release install format lint docs size models clean
help:       ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-10s %s\n", $$1, $$2}'
setup:      ## installs what is missing; the others do it for you
	@sh tools/need.sh $(PACKAGES)
configure: setup
	@cmake --preset $(PRESET) -DHEADRACE_CUDA=$(CUDA) >/tmp/headrace-cmake-$$$$.log || { cat /tmp/headrace-cmake-$$$$.log; exit 1; }; rm -f /tmp/headrace-cmake-$$$$.log
run:        ## builds, then completes PROMPT with the model that ships
run: configure
	@$(NINJA) --target headrace
	@printf '%s' "$(PROMPT)"; build/headrace run -p "$(PROMPT)" -n 180 --temp 0 && echo
test: build ## builds and tests
	@$(CTEST)
build: configure ## build/headrace and the tests
	@$(NINJA)
bench: build ## what the shipped models and the products reach on this machine
	@$(NINJA) --target $(BENCHES)
	@for m in stories260K rwkv7-tiny; do build/headrace bench $$m --prompt 256 --gen 128; done
	@build/bench_products
cuda:       ## build-cuda/headrace, with the CUDA backend (needs nvcc 12.4 or later)
	@$(MAKE) --no-print-directory build PRESET=cuda CUDA=ON
mpi:        ## build-mpi/headrace, whose probes spread over the processes that mpirun starts (Open MPI, 52 MiB of packages)
	@$(MAKE) --no-print-directory build PRESET=mpi
test-cuda: cuda ## holds CUDA to the definitions; needs a GPU
	@HEADRACE_ROOT=. build-cuda/headrace_cuda_tests
asan:       ## tests under the address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory test PRESET=asan
tsan:       ## tests under the thread sanitizer
	@$(MAKE) --no-print-directory test PRESET=tsan
fuzz:       ## each reader of files, FUZZ_SECONDS of fuzzing under sanitizers
	@sh tools/need.sh clang libclang-rt-14-dev
	@$(MAKE) --no-print-directory build PRESET=fuzz
	@set -e; for f in tests/fuzz/*_fuzz.cc; do n=$$(basename $$f _fuzz.cc); mkdir -p build-fuzz/corpus/$$n; echo "== $$n"; \
	  build-fuzz/$${n}_fuzz build-fuzz/corpus/$$n tests/fuzz/corpus/$$n -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=10 -verbosity=0; done
release:    ## build-release/headrace, to copy with libhwy.so.1 (Debian has no archive of it): all other libraries inside
	@$(MAKE) --no-print-directory build PRESET=release
install:    ## headrace and the models that ship, under PREFIX (/usr/local)
install: configure
	@$(NINJA) --target headrace
	@cmake --install $(BUILD) --prefix $(PREFIX)
format:     ## formats the lines you changed
	@sh tools/need.sh clang-format
	@git clang-format --quiet HEAD; git diff --stat
lint:       ## compiles with warnings as errors; the house rules (tests/rooms_test.cc)
	@$(MAKE) --no-print-directory build PRESET=lint
	@cmake --build build-lint --parallel $(JOBS) --target $(BENCHES)
	@build-lint/headrace_tests --gtest_filter='Rooms.*' --gtest_brief=1
docs:       ## runs the console commands of the documents
docs: build
	@bash tools/run_docs.sh README.md docs/*.md
size:       ## lines of code per room
	@for r in src/* src tests bench; do find $$r -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.py' -o -name '*.cpp' | xargs cat | wc -l | \
	  xargs printf '%-12s %6d\n' $$r; done
models:     ## fetches SmolLM2 135M and Gemma 3 270M (pip) and makes the shapes of the speed table, in MODELS, for benchmarks
	@sh tools/need.sh python3-venv
	@bash tools/models.sh $(MODELS)
clean:      ## removes what was built
	rm -rf build build-*
