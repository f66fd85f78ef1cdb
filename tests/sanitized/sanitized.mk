# Real VMs with the library under AddressSanitizer and UndefinedBehaviorSanitizer: `make test-asan`, or of one test
# `make test-asan TESTS=tests/system/bulk.t` (tests/sanitized/README.md).

# Undefined behaviour traps: AddressSanitizer reports the place, which the other's runtime would not write to a file beside it.
SANITIZED   := $(abspath $(B))/sanitized
SANITIZE    := -fsanitize=address,undefined -fsanitize-undefined-trap-on-error -fno-omit-frame-pointer
SANITIZER_RT = $(shell $(CC) -print-file-name=libasan.so)
SETTLED_FORK := $(SANITIZED)/settled_fork.so

# Not of VMs; or the library comes in where no runtime can be put before it, see README.md.
UNSANITIZED := $(patsubst %,tests/system/%.t,bench boundaries cli_run demo docs elixir epmd_registration examples_systemd exports \
                   failing_calls failing_start fuzz inert kubernetes package rabbitmq soak start_refused systemd_services)

SANITIZED_TESTS = $(filter %.t,$(if $(filter command line,$(origin TESTS)),$(TESTS),$(filter-out $(UNSANITIZED),$(SYSTEM_SRC))))

# Warnings are for the build without: sanitizers make compilers see what is not there.
.PHONY: test-asan
test-asan:
	tests/tools/install-packages test
	$(MAKE) B='$(SANITIZED)' CFLAGS='$(CFLAGS) $(SANITIZE)' DG_WARNINGS= all '$(SANITIZED)/tests/peers/channel' \
	    '$(SANITIZED)/tests/unit/test_certificates'
	$(MAKE) '$(SETTLED_FORK)'
	DISTGUARD_BUILD='$(SANITIZED)' DISTGUARD_LAB_AHEAD='$(SANITIZER_RT):$(SETTLED_FORK)' \
	    prove --exec tests/sanitized/run-test --timer -j2 $(SANITIZED_TESTS)

$(SETTLED_FORK): tests/sanitized/settled_fork.c
	$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 -shared -fPIC -o $@ $<
