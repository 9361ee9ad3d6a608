# make help

NAME      = ngx_http_redis_fallback_module
SHELL     = /bin/bash

BUILD    ?= release
NGINX_SRC ?= /usr/share/nginx/src
NGX_BIN  ?= $(firstword $(wildcard /usr/sbin/nginx) nginx)
JOBS     ?= $(shell nproc)
SOAK     ?= 600
FUZZ     ?= 1000000
COMMANDS ?= 200000
POWER    ?= 600

ifeq ($(origin CC),default)
CC        = gcc
endif

# what each flavour adds to nginx's own -Wall -Wextra -Werror

CFLAGS_release  = -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
                  -Wformat -Werror=format-security
CFLAGS_debug    = -O0 -g3 -fno-omit-frame-pointer
CFLAGS_sanitize = -O1 -g -fno-omit-frame-pointer \
                  -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS_release = -Wl,-z,relro -Wl,-z,now
LDFLAGS_sanitize = -fsanitize=address,undefined

# the sanitizers' runtime, to be loaded before an nginx that is not built so

lib       = $(realpath $(shell $(CC) -print-file-name=$(1)))

ifeq ($(BUILD),sanitize)
ifneq ($(findstring clang,$(notdir $(CC))),)
PRELOAD  := $(call lib,libclang_rt.asan-$(shell uname -m).so)
LDFLAGS_sanitize += -shared-libasan -Wl,-rpath,$(dir $(PRELOAD))
else
PRELOAD  := $(call lib,libasan.so):$(call lib,libubsan.so)
endif
export RF_PRELOAD = $(PRELOAD)
endif

ifeq ($(filter $(BUILD),release debug sanitize),)
$(error BUILD=$(BUILD): it is release, debug or sanitize)
endif

# a directory for each flavour and compiler, so that none spoils another's

FLAVOUR   = $(BUILD)$(if $(filter gcc cc,$(CC)),,-$(notdir $(CC)))
OUT       = build/$(FLAVOUR)
SRC       = $(OUT)/nginx-src
MODULE    = $(OUT)/$(NAME).so
UNIT      = $(OUT)/ngx_rf_unit_module.so

# the command-line program: its own files, and those of the module's rooms that
# know files

TOOL      = $(OUT)/redis-fallback-files
TOOL_SRC  = $(sort $(wildcard tools/*.c tools/*.h))
TOOL_ROOMS = codec codec_decode codec_encode codec_text file file_parts \
            file_prepare file_walk journal journal_crc journal_files \
            journal_handover journal_read
TOOL_OBJS = $(TOOL_ROOMS:%=$(SRC)/objs/addon/$(DIR)/ngx_rf_%.o)
TOOL_INCS = -Itools -I$(DIR) -I$(SRC)/src/core -I$(SRC)/src/event \
            -I$(SRC)/src/event/modules -I$(SRC)/src/os/unix -I$(SRC)/objs
TOOL_WARN = -Wall -Wextra -Wpointer-arith -Wno-unused-parameter -Werror

DIR       = ngx_http_redis_fallback_module
FILES     = $(sort $(wildcard $(DIR)/*.c $(DIR)/*.h))
UNITS     = $(sort $(wildcard t/unit/*.c t/unit/*.h t/unit/config))

# paths relative to the copy of nginx's tree: the repository's own may hold
# blanks

UP        = ../../..
ADDONS    = --add-dynamic-module=$(UP) \
            $(if $(wildcard t/unit/config),--add-dynamic-module=$(UP)/t/unit)

TESTS    ?= t/*.t
OUTAGE   ?= t/outage/*.t
SERVER_TESTS ?= t/outage/00-smoke.t t/outage/redis-down.t t/outage/recovery.t \
            t/outage/transactions.t t/outage/coherence.t t/outage/lock.t \
            t/outage/tracking*.t
PROVE     = BUILD=$(BUILD) RF_FLAVOUR=$(FLAVOUR) NGX_BIN=$(NGX_BIN) scripts/prove

# our variables are not for nginx's makefiles

SUBMAKE   = env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES make -s -j$(JOBS) \
            -C $(SRC) -f objs/Makefile


.PHONY: all build module tool install help deps run test tests test-unit test-client \
        test-tool test-nginx test-outage test-servers test-upstash check layers format \
        matrix bits32 bench bench-deps budget budget-update soak chaos differential \
        power-cut clean FORCE

all: build

# one make at a time for each flavour

build:
	@mkdir -p build
	@flock build/$(FLAVOUR).lock $(MAKE) --no-print-directory module tool

module: $(MODULE)
ifneq ($(BUILD),sanitize)
	@cmp -s $(MODULE) build/$(NAME).so || \
	    { cp $(MODULE) build/.$(NAME).so \
	      && mv build/.$(NAME).so build/$(NAME).so; }
	@echo "build/$(NAME).so ($(FLAVOUR))"
else
	@echo "$(MODULE) ($(FLAVOUR))"
endif

tool: $(TOOL)
ifneq ($(BUILD),sanitize)
	@cmp -s $(TOOL) build/redis-fallback-files || \
	    { cp $(TOOL) build/.redis-fallback-files \
	      && mv build/.redis-fallback-files build/redis-fallback-files; }
	@echo "build/redis-fallback-files ($(FLAVOUR))"
else
	@echo "$(TOOL) ($(FLAVOUR))"
endif

# where this nginx looks for modules; the rest below PREFIX

PREFIX   ?= /usr/local
MODULES  ?= $(shell $(NGX_BIN) -V 2>&1 \
                    | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')

install: build
	@[ "$(MODULES)" ] \
	    || { echo '$(NGX_BIN) -V has no --modules-path: MODULES=DIR' >&2; \
	         exit 1; }
	install -D -m 644 $(MODULE) "$(DESTDIR)$(MODULES)/$(NAME).so"
	install -D $(TOOL) "$(DESTDIR)$(PREFIX)/bin/redis-fallback-files"
	install -D -m 644 docs/redis-fallback-files.1 \
	    "$(DESTDIR)$(PREFIX)/share/man/man1/redis-fallback-files.1"

help:
	@echo 'make              builds build/$(NAME).so and'
	@echo '                  build/redis-fallback-files'
	@echo 'make install      to where nginx looks for modules, and PREFIX'
	@echo '                  (/usr/local); below DESTDIR, if that is set'
	@echo 'make deps         installs the Debian packages that are missing'
	@echo 'make run          nginx on port 8080 and a Redis, until Ctrl-C'
	@echo 'make test         all of the following tests'
	@echo 'make test-unit    the engine without http'
	@echo 'make test-client  its Redis client, with real servers'
	@echo 'make test-nginx   t/*.t; some: TESTS="t/a.t t/b.t"'
	@echo 'make test-outage  t/outage/*.t; some: OUTAGE=t/outage/a.t'
	@echo 'make test-servers those that matter with other servers: Redis 6 and'
	@echo '                  8, Valkey; some: SERVERS="redis-8 valkey-9"'
	@echo 'make test-tool    redis-fallback-files, t/tool/'
	@echo 'make test-upstash the api with its published client, from npm'
	@echo 'make check        layers, format, and all tests'
	@echo 'make layers       who includes whom'
	@echo 'make format       what a compiler does not see'
	@echo 'make matrix       all supported nginx, hiredis and compilers'
	@echo 'make bits32       compiles all of the module for 32 bits'
	@echo 'make bench        CPU time per request, bench/; parts or paths:'
	@echo '                  BENCH="tail redis_get"; SHORT=1: a minute each'
	@echo 'make bench-deps   what it compares with, into build/bench-deps'
	@echo 'make budget       fails where a request needs 3 % more instructions'
	@echo '                  than bench/budget says; make budget-update'
	@echo 'make soak         10 minutes of load and outages; SOAK=seconds'
	@echo 'make chaos        all fails at random, and what Redis holds in the'
	@echo '                  end is compared with what was acknowledged;'
	@echo '                  SECONDS=n or HOURS=n, SEED=n'
	@echo 'make differential 200,000 random commands, nginx against Redis;'
	@echo '                  SEED=n COMMANDS=n'
	@echo 'make power-cut    10 minutes of power cuts, and what is there then;'
	@echo '                  POWER=seconds SEED=n'
	@echo 'make fuzz         FUZZ=executions of each of t/fuzz/; some:'
	@echo '                  TARGETS="resp codec"'
	@echo 'make fuzz-short   the same in half a minute'
	@echo 'make clean        removes build/'
	@echo
	@echo 'BUILD=release (default), debug, sanitize (ASan and UBSan; only in'
	@echo 'build/sanitize).  CC=gcc (default), clang.  NGINX_SRC=DIR: nginx'
	@echo 'sources to build against, $(NGINX_SRC).  NGX_BIN=FILE: the nginx'
	@echo 'that tests and make run start, $(NGX_BIN).'


# configured anew when anything changes that configure looks at; made up of
# everything that is not a file's content

$(OUT)/setup: FORCE
	@mkdir -p $(OUT)
	@{ echo 'CC = $(CC)'; $(CC) --version | head -n 1; \
	   echo 'CFLAGS = $(CFLAGS_$(BUILD)) $(EXTRA_CFLAGS)'; \
	   echo 'LDFLAGS = $(LDFLAGS_$(BUILD)) $(EXTRA_LDFLAGS)'; \
	   echo 'HIREDIS = $(HIREDIS_INC) $(HIREDIS_LIB)'; \
	   echo 'ADDONS = $(ADDONS)'; \
	   echo 'NGINX_SRC = $(NGINX_SRC)'; \
	   echo $(FILES) $(UNITS); \
	   cat config $(wildcard t/unit/config $(NGINX_SRC)/conf_flags); \
	   grep 'define NGINX_VER' $(NGINX_SRC)/src/core/nginx.h; \
	 } > $@.new 2>&1 || true
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(OUT)/configured: $(OUT)/setup
	@scripts/deps --build
	@test -x $(NGINX_SRC)/configure || \
	    { echo 'no nginx sources in $(NGINX_SRC)' >&2; exit 1; }
	@rm -rf $(SRC) $@
	@mkdir -p $(SRC)
	@cp -R $(NGINX_SRC)/. $(SRC)/
	@chmod -R u+w $(SRC)
	@cd $(SRC) && NGX_CONF_FLAGS=(--with-threads) \
	 && { [ ! -f conf_flags ] || . ./conf_flags; } \
	 && { ASAN_OPTIONS=detect_leaks=0 ./configure "$${NGX_CONF_FLAGS[@]}" \
	      --with-compat --with-cc=$(CC) \
	      --with-cc-opt='-fPIC $(CFLAGS_$(BUILD)) $(EXTRA_CFLAGS)' \
	      --with-ld-opt='-fPIC $(LDFLAGS_$(BUILD)) $(EXTRA_LDFLAGS)' \
	      $(ADDONS) > ../configure.log 2>&1 \
	      || { tail -n 20 ../configure.log >&2; exit 1; }; }
	@touch $@

$(MODULE): $(OUT)/configured $(FILES)
	@$(SUBMAKE) objs/$(NAME).so
	@! nm -D --undefined-only $(SRC)/objs/$(NAME).so \
	    | grep -E ' U ngx_(http_)?(rf|redis_fallback)_'
	@cp $(SRC)/objs/$(NAME).so $@.new && mv $@.new $@

$(UNIT): $(OUT)/configured $(FILES) $(UNITS)
	@$(SUBMAKE) objs/ngx_rf_unit_module.so
	@cp $(SRC)/objs/ngx_rf_unit_module.so $@.new && mv $@.new $@

$(TOOL): $(MODULE) $(TOOL_SRC)
	@$(CC) $(CFLAGS_$(BUILD)) $(EXTRA_CFLAGS) $(TOOL_WARN) $(TOOL_INCS) \
	    $(filter %.c,$(TOOL_SRC)) $(TOOL_OBJS) $(LDFLAGS_$(BUILD)) \
	    $(EXTRA_LDFLAGS) -lcjson -lcrypto -lm -o $@.new
	@mv $@.new $@


deps:
	@scripts/deps

# installs what is missing before it builds

run:
	@scripts/deps --run
	@$(MAKE) --no-print-directory build
	@BUILD=$(BUILD) RF_MODULE=$(abspath $(MODULE)) NGX_BIN=$(NGX_BIN) \
	    scripts/run

test:
	@scripts/deps --test
	@$(MAKE) --no-print-directory tests

tests: test-unit test-client test-tool test-nginx test-outage
	@$(PROVE) t/upstash/run.t

test-unit: build
	@flock build/$(FLAVOUR).lock $(MAKE) --no-print-directory $(UNIT)
	@RF_UNIT=$(abspath $(UNIT)) $(PROVE) t/unit/run.t

test-client: build
	@scripts/deps --check
	@NGX_TREE=$(SRC) prove t/unit/client/run.sh

test-tool: build
	@scripts/deps --check
	@RF_TOOL=$(abspath $(TOOL)) $(PROVE) t/tool/*.t

test-nginx: build
	@scripts/deps --check
	@$(PROVE) $(TESTS)

test-outage: build
	@scripts/deps --check
	@$(PROVE) $(OUTAGE)

# not what Redis 7.0 of Debian 12 is asked in test-outage: other servers, built
# below build/servers

test-servers: build
	@scripts/deps --check
	@scripts/servers $(SERVERS) > build/servers.txt
	@failed=0; while read -r name program; do \
	     echo "== $$name: $$($$program --version)"; \
	     REDIS_SERVER=$$program $(PROVE) $(SERVER_TESTS) \
	         || failed=$$((failed + 1)); \
	 done < build/servers.txt; \
	 echo "$$(wc -l < build/servers.txt) servers, $$failed failed"; \
	 [ $$failed = 0 ]

test-upstash: build
	@scripts/deps --check
	@scripts/deps --upstash
	@$(PROVE) t/upstash/run.t

check: layers format test

layers: build
	@scripts/layers --objects $(SRC)/objs/addon/$(DIR)

format:
	@scripts/format

matrix:
	@scripts/matrix

bits32:
	@NGINX_SRC=$(NGINX_SRC) scripts/bits32

# BENCH: some parts or paths of either; none: all.  SHORT=1: one round of a
# second each, for which no document is written

BENCH_TYPES = hget hset lpush sadd zadd pipeline files lock

bench: build
	@export RF_MODULE=$(abspath $(MODULE)) NGX_BIN=$(NGX_BIN); \
	 run="$(strip $(filter-out $(BENCH_TYPES),$(BENCH)))"; \
	 types="$(strip $(filter $(BENCH_TYPES),$(BENCH)))"; failed=0; \
	 short="$(if $(SHORT),--short)"; \
	 [ -z "$$short" ] || export BENCH_SECONDS=$${BENCH_SECONDS:-1} \
	     BENCH_ROUNDS=$${BENCH_ROUNDS:-1}; \
	 [ -n "$$types$$run" ] && [ -z "$$run" ] \
	     || bench/run $$short $$run || failed=1; \
	 [ -n "$$types$$run" ] && [ -z "$$types" ] || bench/types $$types \
	     || failed=1; \
	 exit $$failed

bench-deps:
	@scripts/deps --bench

budget budget-update: build
	@[ $(BUILD) = release ] \
	    || { echo 'the budget is for BUILD=release' >&2; exit 1; }
	@scripts/deps --budget
	@RF_MODULE=$(abspath $(MODULE)) NGX_BIN=$(NGX_BIN) \
	    bench/callgrind $(if $(filter %update,$@),update,budget)

soak: build
	@scripts/deps --check
	@SOAK_SECONDS=$(SOAK) $(PROVE) -v t/soak/soak.pl

chaos: build
	@scripts/deps --check
	@CHAOS_SECONDS=$(SECONDS) HOURS=$(HOURS) SEED=$(SEED) \
	    $(PROVE) -v t/chaos/model.t t/chaos/chaos.pl

differential: build
	@scripts/deps --check
	@SEED=$(SEED) COMMANDS=$(COMMANDS) \
	    $(PROVE) -v t/differential/differential.pl

# a half of the time for the rooms, a half for all of nginx

power-cut: build
	@scripts/deps --check
	@POWER_CUT=$$(($(POWER) / 2)) POWER_SEED=$(or $(SEED),$$RANDOM) \
	    $(PROVE) -v t/outage/power-cut.t t/outage/power-cut-nginx.t

fuzz:
	@scripts/fuzz run $(FUZZ) $(TARGETS)

fuzz-short:
	@scripts/fuzz short

clean:
	rm -rf build
