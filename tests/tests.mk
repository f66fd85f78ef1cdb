# The tests: `make test` runs all of them, `make test TESTS=tests/unit/test_policy.c` one.

UNIT_SRC   := $(wildcard tests/unit/test_*.c)
SYSTEM_SRC := $(wildcard tests/system/*.t)
UNIT       := $(UNIT_SRC:%.c=$(B)/%)
UNIT_ASAN  := $(UNIT_SRC:%.c=$(B)/asan/%)

PROVE := DISTGUARD_BUILD=$(abspath $(B)) prove --exec tests/tools/run-test --timer -j2

# cmocka 2 has new names for what cmocka 1 has, and warns of the old ones.
$(B)/obj/tests/%.o $(B)/asan/obj/tests/%.o: DG_CFLAGS += -Wno-deprecated-declarations

# What unit tests share.
SUPPORT_SRC := $(wildcard tests/unit/support/*.c)

# A unit test is linked with everything but the interposers, which would replace its own calls, and the tool.
TESTED_OBJ := $(CORE_OBJ) $(POLICY_OBJ) $(filter $(B)/obj/cli/tls/%,$(CLI_OBJ)) $(SUPPORT_SRC:%.c=$(B)/obj/%.o)

$(UNIT): $(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(TESTED_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $^ $(DG_LDFLAGS) $(LDFLAGS) $(CORE_LIBS) -lcmocka

# The same again under the sanitizers, with objects of its own.
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

$(B)/asan/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(DG_CFLAGS) $(ASAN) -MMD -MP -c -o $@ $<

$(UNIT_ASAN): $(B)/asan/tests/unit/%: $(B)/asan/obj/tests/unit/%.o $(TESTED_OBJ:$(B)/%=$(B)/asan/%)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(ASAN) -o $@ $^ $(DG_LDFLAGS) $(LDFLAGS) $(CORE_LIBS) -lcmocka

# What can be made to fail here.
$(B)/tests/unit/test_allocation $(B)/asan/tests/unit/test_allocation: \
    DG_LDFLAGS += $(foreach function,malloc calloc realloc strdup asprintf,-Wl,--wrap=$(function))
$(addsuffix tests/unit/test_gathering,$(B)/ $(B)/asan/ $(B)/tsan/): \
    DG_LDFLAGS += $(foreach function,malloc pthread_create,-Wl,--wrap=$(function))

# Those that have threads, under the sanitizer that watches these. OpenSSL is not compiled with it: TSAN_OPTIONS names what it
# sees there by mistake.
UNIT_TSAN := $(patsubst %.c,$(B)/tsan/%,$(shell grep -l pthread_create $(UNIT_SRC)))
TSAN      := -fsanitize=thread -fno-omit-frame-pointer

$(B)/tsan/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(DG_CFLAGS) -Wno-deprecated-declarations -Wno-tsan $(TSAN) -MMD -MP -c -o $@ $<

$(UNIT_TSAN): $(B)/tsan/tests/unit/%: $(B)/tsan/obj/tests/unit/%.o $(TESTED_OBJ:$(B)/%=$(B)/tsan/%)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TSAN) -o $@ $^ $(DG_LDFLAGS) $(LDFLAGS) $(CORE_LIBS) -lcmocka

# Objects that only pattern rules name would be deleted as intermediate, and compiled again each time.
.SECONDARY: $(foreach way,$(B) $(B)/asan $(B)/tsan,$(UNIT_SRC:%.c=$(way)/obj/%.o))

.PHONY: unit unit-asan unit-tsan
unit: $(UNIT)
	$(PROVE) $(UNIT)

unit-asan: $(UNIT_ASAN)
	$(PROVE) $(UNIT_ASAN)

unit-tsan:
	tests/tools/install-packages system
	$(MAKE) $(UNIT_TSAN)
	$(PROVE) $(UNIT_TSAN)

# The slow ones first, so that two jobs end together. A unit test may be named by its source: it runs both ways.
TESTS  ?= $(SYSTEM_SRC) $(UNIT_SRC)
CHOSEN := $(filter-out %.c,$(TESTS)) \
          $(patsubst %.c,$(B)/%,$(filter %.c,$(TESTS))) $(patsubst %.c,$(B)/asan/%,$(filter %.c,$(TESTS)))

# Make starts anew once the packages are there, as there may have been no compiler.
.PHONY: test test-programs
test:
	tests/tools/install-packages test
	$(MAKE) all test-programs
	$(PROVE) $(CHOSEN)

# One channel as a program, for the test that lets it talk to other people's TLS.
CHANNEL_PROGRAM := $(B)/tests/peers/channel

$(CHANNEL_PROGRAM): $(B)/obj/tests/peers/channel.o $(CLI_CORE_OBJ) $(POLICY_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $^ $(DG_LDFLAGS) $(LDFLAGS) $(CORE_LIBS)

test-programs: $(CHANNEL_PROGRAM) $(filter $(B)/%,$(CHOSEN)) $(if $(filter %/fuzz.t,$(CHOSEN)),fuzz-programs)

# A bad network between two nodes, for longer: RUNS=, SEED= and TLS= choose (tests/system/README.md).
.PHONY: test-faults
test-faults: export RUNS ?= 500
test-faults: export DISTGUARD_LAB_TIME_LIMIT ?= 7200
test-faults:
	tests/tools/install-packages system
	$(MAKE) all
	$(PROVE) --verbose tests/system/faults.t

# The tests of descriptors that live on chance, for long: about a quarter of an hour.
.PHONY: storm
storm:
	tests/tools/install-packages system
	$(MAKE) all
	DISTGUARD_LONG_TESTS=1 STORM_SECONDS=120 STORM_CHILDREN=1400 STORM_LEAVES=1000 VM_ENDS=40 \
	    $(PROVE) -j1 $(addprefix tests/system/descriptors_,storm.t guarded.t vm.t)

# Every OTP, each with its own release of Debian: COLUMNS=25,29-nif and TESTS=tests/system/bulk.t choose (tests/matrix/run).
# The trees are kept (tests/tools/otp-tree).
RELEASES := bookworm trixie sid
COLUMNS  ?=

.PHONY: trees test-matrix
trees:
	tests/tools/install-packages matrix
	set -e; for release in $(RELEASES); do \
	    tests/tools/otp-tree $$release >/dev/null; \
	    tests/tools/in-tree $$release make --silent B=$(B)/$$release all; \
	done

test-matrix: trees all
	DISTGUARD_BUILD=$(B) tests/matrix/run --columns '$(COLUMNS)' $(if $(filter command line,$(origin TESTS)),$(TESTS))

# Three nodes at work for half an hour, disturbed all the while: DURATION=, SPEED=, SEED=, PAUSE= and OUT= choose (tests/soak/README.md).
.PHONY: soak
soak:
	tests/tools/install-packages system
	$(MAKE) all
	DISTGUARD_BUILD='$(abspath $(B))' OUT='$(or $(OUT),$(B)/soak/result.json)' COMMIT='$(BENCH_COMMIT)' tests/soak/run

# Two nodes while mixtures of their calls fail, hundreds of them, and the start with each of its allocations failing: SEEDS= and
# SEED= choose how many mixtures, and the first. Half an hour, of which the start takes most.
SEEDS ?= 300
SEED  ?= 1

.PHONY: failing
failing:
	tests/tools/install-packages system
	$(MAKE) all
	DISTGUARD_LAB_TIME_LIMIT=7200 FAILING_SEEDS=$(SEEDS) FAILING_SEED=$(SEED) FAILING_STEP=20 \
	    $(PROVE) --verbose tests/system/failing_calls.t tests/system/failing_start.t

# The image of examples/container, built by podman as its README says (tests/tools/build-image), and run.
.PHONY: test-image
test-image:
	tests/tools/install-packages image
	$(MAKE) all
	tests/tools/build-image $(B)/image/greeter.tar
	$(PROVE) tests/image/container.t

LINT_SRC := $(PRELOAD_SRC) $(CORE_SRC) $(POLICY_SRC) $(CLI_SRC) $(wildcard tests/*/*.c tests/*/support/*.c)
SCRIPTS  := $(shell grep -rlIE --exclude='*.eex' --exclude='*.t' '^.!/bin/(ba)?sh' .ci examples tests) docs/completion/distguard.bash

# cppcheck does not know that a sentinel NULL is a pointer here, nor that an error is there to be filled in.
CPPCHECK := cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
            --suppress=varFuncNullUB --suppress=ctuuninitvar --std=c11 -D_GNU_SOURCE -I.

# Expressions in single quotes are there for another shell.
SHELLCHECK := shellcheck --exclude=SC2016

.PHONY: lint
lint:
	tests/tools/install-packages lint
	clang-format --dry-run -Werror $$(find cli policy shim tests -name '*.[ch]')
	$(SHELLCHECK) $(SCRIPTS)
	$(CPPCHECK) $(LINT_SRC)
	printf '%s\n' $(LINT_SRC) | xargs -P2 -I FILE clang-tidy --quiet FILE -- $(DG_CFLAGS) -DDG_LIBDIR='""'

# The headers that each object was made of: those of each way to build that begins here.
TEST_OBJ := $(UNIT_SRC:%.c=$(B)/obj/%.o) $(TESTED_OBJ)
-include $(B)/obj/tests/peers/channel.d $(foreach way,$(B) $(B)/asan $(B)/tsan,$(TEST_OBJ:$(B)/%.o=$(way)/%.d))

include tests/fuzz/fuzz.mk
include tests/sanitized/sanitized.mk
