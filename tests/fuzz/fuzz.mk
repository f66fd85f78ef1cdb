# Fuzzing: `make fuzz TARGET=channel SECONDS=1200`; without a TARGET all of them, one after the other (tests/fuzz/README.md).

FUZZ_CC      ?= clang
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ         := $(FUZZ_TARGETS:%=$(B)/fuzz/%)
FUZZ_SUPPORT := $(patsubst %.c,$(B)/fuzz/obj/%.o,$(wildcard tests/fuzz/support/*.c))
FUZZ_TESTED  := $(TESTED_OBJ:$(B)/obj/%=$(B)/fuzz/obj/%)

# Nothing goes on behind a finding; frame pointers make its stack readable. Optimized, as speed finds more.
FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

$(B)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(CPPFLAGS) $(DG_CFLAGS) -Wno-deprecated-declarations $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link \
	    -MMD -MP -c -o $@ $<

$(FUZZ): $(B)/fuzz/%: $(B)/fuzz/obj/tests/fuzz/%.o $(FUZZ_SUPPORT) $(FUZZ_TESTED)
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(DG_LDFLAGS) $(LDFLAGS) $(CORE_LIBS) -lcmocka

.SECONDARY: $(FUZZ_TARGETS:%=$(B)/fuzz/obj/tests/fuzz/%.o)

TARGET  ?= $(FUZZ_TARGETS)
SECONDS ?= 1200

.PHONY: fuzz fuzz-programs
fuzz-programs: $(FUZZ)

fuzz:
	tests/tools/install-packages fuzz
	$(MAKE) $(patsubst %,$(B)/fuzz/%,$(TARGET))
	set -e; for target in $(TARGET); do tests/fuzz/run '$(B)' "$$target" '$(SECONDS)'; done

-include $(FUZZ_TARGETS:%=$(B)/fuzz/obj/tests/fuzz/%.d) $(FUZZ_SUPPORT:.o=.d) $(FUZZ_TESTED:.o=.d)
