.POSIX:

CC = cc
CFLAGS = -O2
LDFLAGS =
PREFIX = /usr/local
SYSCONFDIR = /etc
DESTDIR =
PORT = 1080
SECONDS = 10
SESSIONS = 10000

# The BSDs and macOS hide what is beyond POSIX where it is asked for: make FEATURES=
FEATURES = -D_XOPEN_SOURCE=700 -D_FILE_OFFSET_BITS=64
STANDARD = -std=c99 $(FEATURES) -DSYSCONFDIR=\"$(SYSCONFDIR)\"
WARNINGS = -pedantic -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
STATIC = -Os -flto -static -s -fno-pie -no-pie -ffunction-sections -fdata-sections -fno-jump-tables \
	-fno-inline-functions-called-once -fno-asynchronous-unwind-tables -Wl,--gc-sections \
	-Wl,--sort-section=alignment -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,--build-id=none
PATHS = -e 's|/etc/socks4-stdio|$(SYSCONFDIR)/socks4-stdio|g' -e 's|/usr/local/sbin|$(PREFIX)/sbin|g'

SOURCES = socks4-stdio.c acl.c aclitem.c aclparse.c address.c bind.c check.c client.c dial.c \
	ident.c internal.c judge.c log.c logline.c net.c options.c proxy.c relay.c resolve.c sandbox.c \
	socks4.c text.c
OBJECTS = socks4-stdio.o acl.o aclitem.o aclparse.o address.o bind.o check.o client.o dial.o \
	ident.o internal.o judge.o log.o logline.o net.o options.o proxy.o relay.o resolve.o sandbox.o \
	socks4.o text.o
HEADERS = acl.h aclrule.h address.h bind.h check.h client.h dial.h ident.h internal.h judge.h \
	log.h logline.h net.h options.h proxy.h relay.h resolve.h sandbox.h socks4.h text.h
PLAIN = tests/bin/serve tests/bin/peer tests/bin/dnsd tests/bin/logd tests/bin/oddfd \
	tests/bin/soak tests/bin/trial tests/bin/lossy tests/bin/crowd
TOOLS = $(PLAIN) tests/bin/trespass tests/bin/openbsd tests/bin/freebsd tests/bin/fault.so

all: socks4-stdio

socks4-stdio: $(OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(OBJECTS)

.c.o:
	$(CC) $(STANDARD) $(CFLAGS) -c -o $@ $<

$(OBJECTS): $(HEADERS)

# Changes when SYSCONFDIR does: what was built for another default list is built anew.
build/sysconfdir: FORCE
	@mkdir -p build
	@echo '$(SYSCONFDIR)' | cmp -s - $@ || echo '$(SYSCONFDIR)' >$@

judge.o: build/sysconfdir

static: build/static/socks4-stdio

# A glibc static binary would want glibc's plug-ins at run time to look names up.
build/static/socks4-stdio: $(SOURCES) $(HEADERS) build/sysconfdir
	@command -v musl-gcc >/dev/null || { \
	    echo 'make static wants musl-gcc (Debian: musl-tools): a static glibc binary' \
	    'needs plug-ins of glibc at run time' >&2; exit 1; }
	mkdir -p build/static
	musl-gcc $(STANDARD) $(STATIC) -o $@ $(SOURCES)

# The build that the sanitizers watch; what it finds ends it.
sanitize: build/sanitize/socks4-stdio

build/sanitize/socks4-stdio: $(SOURCES) $(HEADERS) build/sysconfdir
	mkdir -p build/sanitize
	$(CC) $(STANDARD) -g -O1 -DNO_SANDBOX -fsanitize=address,undefined \
	    -fno-sanitize-recover=all -fno-omit-frame-pointer -o $@ $(SOURCES)

# Whatever list this machine has, this one looks elsewhere, and so has the built-in one.
build/run/socks4-stdio: $(OBJECTS) judge.c
	mkdir -p build/run
	$(CC) $(STANDARD) -USYSCONFDIR -DSYSCONFDIR=\"/nonexistent\" $(CFLAGS) $(LDFLAGS) -o $@ \
	    judge.c $$(echo $(OBJECTS) | sed 's/judge\.o//')

run: build/run/socks4-stdio tests/bin/serve
	@echo 'serving on 127.0.0.1:$(PORT) until Ctrl-C; try:'
	@echo '  curl --socks4a 127.0.0.1:$(PORT) http://example.org/'
	@exec tests/bin/serve $(PORT) build/run/socks4-stdio -l stderr

tools: $(TOOLS)

$(PLAIN):
	mkdir -p tests/bin
	$(CC) $(CFLAGS) -o $@ tests/$$(basename $@).c

tests/bin/serve: tests/serve.c
tests/bin/peer: tests/peer.c
tests/bin/dnsd: tests/dnsd.c
tests/bin/logd: tests/logd.c
tests/bin/oddfd: tests/oddfd.c
tests/bin/soak: tests/soak.c
tests/bin/trial: tests/trial.c
tests/bin/lossy: tests/lossy.c
tests/bin/crowd: tests/crowd.c

# The program with a sandbox_enter() that breaks its own rules.
tests/bin/trespass: tests/trespass.c sandbox.c $(OBJECTS)
	mkdir -p tests/bin
	$(CC) $(STANDARD) $(CFLAGS) $(LDFLAGS) -o $@ tests/trespass.c \
	    $$(echo $(OBJECTS) | sed 's/sandbox\.o//')

# The program with the BSDs' sandbox, and with what their kernels would say to it.
BSD = -U__linux__ -idirafter tests/bsd -include tests/bsd/pledge.h

tests/bin/openbsd: tests/bsd/bsd.c tests/bsd/pledge.h sandbox.c relay.c $(OBJECTS)
	mkdir -p tests/bin
	$(CC) $(STANDARD) $(CFLAGS) $(LDFLAGS) $(BSD) -D__OpenBSD__ -o $@ tests/bsd/bsd.c sandbox.c relay.c \
	    $$(echo $(OBJECTS) | sed 's/sandbox\.o//; s/relay\.o//')

tests/bin/freebsd: tests/bsd/bsd.c tests/bsd/pledge.h sandbox.c relay.c $(OBJECTS)
	mkdir -p tests/bin
	$(CC) $(STANDARD) $(CFLAGS) $(LDFLAGS) $(BSD) -D__FreeBSD__ -o $@ tests/bsd/bsd.c sandbox.c relay.c \
	    $$(echo $(OBJECTS) | sed 's/sandbox\.o//; s/relay\.o//')

tests/bin/fault.so: tests/fault.c
	mkdir -p tests/bin
	$(CC) $(CFLAGS) -fPIC -shared -o $@ tests/fault.c

# BIN=path tests another build; FILES='tests/acl.bats ...' only some of the suite.
check: socks4-stdio build/static/socks4-stdio build/nosandbox/socks4-stdio tools
	tests/run

lint:
	tests/lint

fuzz:
	tests/fuzz/run $(SECONDS)

# SESSIONS of every kind, one after another on eight clients; nothing may fail or grow.
soak: build/static/socks4-stdio tools
	BIN=build/static/socks4-stdio tests/soak $(SESSIONS)

# Only to measure what the sandbox costs.
build/nosandbox/socks4-stdio: $(SOURCES) $(HEADERS) build/sysconfdir
	mkdir -p build/nosandbox
	musl-gcc $(STANDARD) $(STATIC) -DNO_SANDBOX -o $@ $(SOURCES)

bench: socks4-stdio build/static/socks4-stdio build/nosandbox/socks4-stdio tools
	tests/bench/run

coverage:
	tests/coverage

# The suite under valgrind (gcc, clang), and in 32 bits.
memcheck:
	tests/memcheck

# The sandbox's other filter, on a machine that qemu emulates.
aarch64:
	tests/aarch64

# Renamed into place: sessions run on while the program is replaced.
install: socks4-stdio
	mkdir -p $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man8 \
	    $(DESTDIR)$(PREFIX)/share/man/man5
	cp socks4-stdio $(DESTDIR)$(PREFIX)/sbin/socks4-stdio.new
	chmod 755 $(DESTDIR)$(PREFIX)/sbin/socks4-stdio.new
	mv -f $(DESTDIR)$(PREFIX)/sbin/socks4-stdio.new $(DESTDIR)$(PREFIX)/sbin/socks4-stdio
	sed $(PATHS) socks4-stdio.8 >$(DESTDIR)$(PREFIX)/share/man/man8/socks4-stdio.8
	sed $(PATHS) socks4-stdio.acl.5 >$(DESTDIR)$(PREFIX)/share/man/man5/socks4-stdio.acl.5
	chmod 644 $(DESTDIR)$(PREFIX)/share/man/man8/socks4-stdio.8 \
	    $(DESTDIR)$(PREFIX)/share/man/man5/socks4-stdio.acl.5

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/socks4-stdio \
	    $(DESTDIR)$(PREFIX)/share/man/man8/socks4-stdio.8 \
	    $(DESTDIR)$(PREFIX)/share/man/man5/socks4-stdio.acl.5

FORCE:

clean:
	rm -rf socks4-stdio *.o build tests/bin tests/bench/bin tests/fuzz/bin

.PHONY: all static sanitize run tools check lint fuzz soak bench coverage memcheck aarch64 install uninstall clean FORCE
