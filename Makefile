# distguard: see README.md. `make` builds, `make test` tests, `make demo` shows.

prefix     ?= /usr/local
bindir     ?= $(prefix)/bin
libdir     ?= $(prefix)/lib
sysconfdir ?= /etc
mandir     ?= $(prefix)/share/man
completiondir ?= $(prefix)/share/bash-completion/completions
DESTDIR    ?=
INSTALL    ?= install

CFLAGS  ?= -O2 -g
LDFLAGS ?=
B       ?= build

# What the project itself needs, apart from what the user asks for in CFLAGS.
DG_WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
               -Wformat=2 -Wundef -Werror
DG_CFLAGS   := -std=gnu11 -I. -fPIC -fvisibility=hidden -pthread -D_GNU_SOURCE $(DG_WARNINGS) \
               -fstack-protector-strong -fno-plt
DG_LDFLAGS  := -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed -pthread

PRELOAD_SRC := $(wildcard shim/preload/*.c)
CORE_SRC    := $(wildcard shim/core/*.c shim/core/*/*.c)
POLICY_SRC  := $(wildcard policy/*.c)
CLI_SRC     := $(wildcard cli/*.c cli/*/*.c)

PRELOAD_OBJ := $(PRELOAD_SRC:%.c=$(B)/obj/%.o)
CORE_OBJ    := $(CORE_SRC:%.c=$(B)/obj/%.o)
POLICY_OBJ  := $(POLICY_SRC:%.c=$(B)/obj/%.o)
CLI_OBJ     := $(CLI_SRC:%.c=$(B)/obj/%.o)

# The tool takes from the core what needs OpenSSL, what reports, and what knows the host's addresses; nothing that intercepts.
CLI_CORE_OBJ := $(filter $(foreach folder,tls wire report,$(B)/obj/shim/core/$(folder)/%),$(CORE_OBJ)) \
                $(foreach file,background socket/placement socket/address,$(B)/obj/shim/core/$(file).o)

CORE_LIBS := -lssl -lcrypto -lconfig
CLI_LIBS  := -lssl -lcrypto -lconfig -ljansson

.PHONY: all
all: $(B)/libdistguard.so $(B)/libdistguard-core.so $(B)/distguard

# Interposers must not be compiled with fortified headers: they define the very functions these would replace.
$(B)/obj/shim/preload/%.o: DG_CFLAGS += -U_FORTIFY_SOURCE -fno-builtin

# Where the tool finds the library once it is installed; compiled anew when libdir is another than last time.
$(B)/obj/cli/library.o: DG_CFLAGS += -DDG_LIBDIR='"$(libdir)/distguard"'
$(B)/obj/cli/library.o: $(B)/libdir
$(B)/libdir: FORCE
	@mkdir -p $(@D)
	@echo '$(libdir)' | cmp -s - $@ || echo '$(libdir)' >$@
.PHONY: FORCE

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(DG_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libdistguard.so: $(PRELOAD_OBJ) shim/preload/exports.map
	$(CC) $(CFLAGS) -shared -o $@ $(PRELOAD_OBJ) -Wl,--version-script=shim/preload/exports.map \
	    -Wl,-soname,libdistguard.so $(DG_LDFLAGS) $(LDFLAGS)

$(B)/libdistguard-core.so: $(CORE_OBJ) $(POLICY_OBJ) shim/core/exports.map
	$(CC) $(CFLAGS) -shared -o $@ $(CORE_OBJ) $(POLICY_OBJ) -Wl,--version-script=shim/core/exports.map \
	    -Wl,-soname,libdistguard-core.so -Wl,-z,nodelete $(DG_LDFLAGS) $(LDFLAGS) $(CORE_LIBS)

$(B)/distguard: $(CLI_OBJ) $(CLI_CORE_OBJ) $(POLICY_OBJ)
	$(CC) $(CFLAGS) -pie -o $@ $^ $(DG_LDFLAGS) $(LDFLAGS) $(CLI_LIBS)

.PHONY: install uninstall
install: all
	$(INSTALL) -d $(DESTDIR)$(libdir)/distguard $(DESTDIR)$(bindir) $(DESTDIR)$(sysconfdir)/distguard \
	    $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(mandir)/man5 $(DESTDIR)$(mandir)/man7 $(DESTDIR)$(completiondir)
	$(INSTALL) -m 0755 $(B)/libdistguard.so $(B)/libdistguard-core.so $(DESTDIR)$(libdir)/distguard/
	$(INSTALL) -m 0755 $(B)/distguard $(DESTDIR)$(bindir)/
	$(INSTALL) -m 0644 docs/man/distguard.1 $(DESTDIR)$(mandir)/man1/
	$(INSTALL) -m 0644 docs/man/shim.conf.5 $(DESTDIR)$(mandir)/man5/
	$(INSTALL) -m 0644 docs/man/distguard.7 $(DESTDIR)$(mandir)/man7/
	$(INSTALL) -m 0644 docs/completion/distguard.bash $(DESTDIR)$(completiondir)/distguard
	test -e $(DESTDIR)$(sysconfdir)/distguard/shim.conf || \
	    $(INSTALL) -m 0644 shim.conf $(DESTDIR)$(sysconfdir)/distguard/shim.conf

# The policy and the keys are the operator's: they stay.
uninstall:
	rm -f $(DESTDIR)$(libdir)/distguard/libdistguard.so $(DESTDIR)$(libdir)/distguard/libdistguard-core.so
	rm -f $(DESTDIR)$(bindir)/distguard $(DESTDIR)$(completiondir)/distguard
	rm -f $(DESTDIR)$(mandir)/man1/distguard.1 $(DESTDIR)$(mandir)/man5/shim.conf.5 $(DESTDIR)$(mandir)/man7/distguard.7
	-rmdir $(DESTDIR)$(libdir)/distguard

.PHONY: clean
clean:
	rm -rf $(B)

-include $(PRELOAD_OBJ:.o=.d) $(CORE_OBJ:.o=.d) $(POLICY_OBJ:.o=.d) $(CLI_OBJ:.o=.d)

VERSION := $(shell sed -n 's/.*define DG_VERSION "\(.*\)"/\1/p' shim/abi.h)

# The sources as one file, and the Debian package made from it; both go to $(B).
.PHONY: dist deb
dist:
	@tests/tools/make-tarball $(B)/distguard-$(VERSION).tar.gz
deb: dist
	@tests/tools/install-packages build deb
	@tests/tools/make-deb $(B)/distguard-$(VERSION).tar.gz $(B)

# ROUNDS=, METRICS=, CARRIERS=, MESH= and OUT= choose: see tests/bench/README.md.
.PHONY: bench
bench:
	tests/tools/install-packages bench
	$(MAKE) all
	BUILD='$(B)' tests/bench/run

# The same on another OTP, in the tree of its release (tests/tools/otp-tree), which is made if there is none.
BENCH_25 := bookworm
BENCH_27 := trixie
BENCH_29 := sid
BENCH_COMMIT = $(shell git describe --always --dirty 2>/dev/null)
BENCH_CHOICE = $(foreach name,ROUNDS METRICS CARRIERS MESH QUICK,$(if $($(name)),$(name)='$($(name))'))

.PHONY: bench-25 bench-27 bench-29
bench-25 bench-27 bench-29: bench-%:
	tests/tools/install-packages matrix
	tests/tools/otp-tree $(BENCH_$*) >/dev/null
	tests/tools/in-tree $(BENCH_$*) make --silent B='$(B)/$(BENCH_$*)' all
	tests/tools/in-tree $(BENCH_$*) env BUILD='$(B)/$(BENCH_$*)' OUT='$(B)/bench/otp-$*.json' COMMIT='$(BENCH_COMMIT)' \
	    $(BENCH_CHOICE) tests/bench/run

.PHONY: deps demo
# What the project needs on a Debian, all of it.
deps:
	@tests/tools/install-packages build test demo bench

demo:
	@tests/tools/install-packages demo
	@$(MAKE) --no-print-directory all
	@BUILD=$(abspath $(B)) examples/demo/demo.sh

include tests/tests.mk
