.POSIX:

# From the command line, else from the environment, else these. (bmake, asked for a DESTDIR, would look
# for the headers in there.)
CC != echo "$${CC:-cc}"
CFLAGS != echo "$${CFLAGS:--O2}"
CPPFLAGS != echo "$$CPPFLAGS"
LDFLAGS != echo "$$LDFLAGS"
PREFIX = /usr/local
SYSCONFDIR = /etc
MANDIR = $(PREFIX)/share/man
EXAMPLESDIR = $(PREFIX)/share/doc/socks4-stdio/examples
DESTDIR =
SBIN = $(DESTDIR)$(PREFIX)/sbin
MAN = $(DESTDIR)$(MANDIR)
EXAMPLES = $(DESTDIR)$(EXAMPLESDIR)
PATHS = -e 's|/etc/socks4-stdio|$(SYSCONFDIR)/socks4-stdio|g' -e 's|/usr/local/sbin|$(PREFIX)/sbin|g'

# The BSDs and macOS hide what is beyond POSIX when it is asked for: make FEATURES=
FEATURES = -D_XOPEN_SOURCE=700 -D_FILE_OFFSET_BITS=64
STANDARD = -std=c99 -I. $(FEATURES) -DSYSCONFDIR=\"$(SYSCONFDIR)\"
STATIC = -Os -static -s -fno-pie -no-pie -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables \
	-Wl,--gc-sections -Wl,--sort-section=alignment -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,--build-id=none \
	-Wl,-T,lib/static.ld

# In the order of the static program (lib/static.ld): what every session runs, with a frozen list too, then what few do.
# Of resolve every session runs a little.
SESSION = socks4-stdio.o acl.o lib/address.o lib/candidates.o lib/dial.o lib/frozen.o lib/lines.o lib/log.o lib/net.o \
	lib/options.o lib/reason.o lib/relay.o lib/rules.o lib/sandbox.o lib/socks4.o lib/standard.o lib/text.o
SELDOM = lib/resolve.o ident.o lib/bind.o lib/client.o lib/dryrun.o lib/freeze.o lib/internal.o \
	lib/proxyheader.o lib/warnings.o
OBJECTS = $(SESSION) $(SELDOM)
SOURCES = $(OBJECTS:.o=.c)
HEADERS = acl.h ident.h lib/address.h lib/bind.h lib/candidates.h lib/client.h \
	lib/dial.h lib/dryrun.h lib/freeze.h lib/frozen.h lib/internal.h lib/lines.h lib/log.h lib/net.h lib/options.h \
	lib/proxyheader.h lib/reason.h lib/relay.h lib/resolve.h lib/rules.h lib/sandbox.h lib/socks4.h lib/standard.h lib/text.h \
	lib/warnings.h

all: socks4-stdio

socks4-stdio: $(OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(OBJECTS)

.c.o:
	$(CC) $(STANDARD) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(OBJECTS): $(HEADERS)

# Changes when SYSCONFDIR does: what was built for another default list is built anew.
build/sysconfdir: FORCE
	@mkdir -p build
	@echo '$(SYSCONFDIR)' | cmp -s - $@ || echo '$(SYSCONFDIR)' >$@

lib/candidates.o lib/options.o: build/sysconfdir

static: build/static/socks4-stdio

# A static glibc binary would need glibc's plug-ins at run time to look names up. The first -lc adds what SESSION needs of
# the C library.
build/static/socks4-stdio build/nosandbox/socks4-stdio: $(SOURCES) $(HEADERS) lib/static.ld build/sysconfdir
	@command -v musl-gcc >/dev/null || { \
	    echo 'make static needs musl-gcc (on Debian: the package musl-tools):' \
	    'a static glibc binary would need plug-ins of glibc at run time' >&2; exit 1; }
	@mkdir -p $$(dirname $@)
	musl-gcc $(STANDARD) $(CPPFLAGS) $(STATIC) -o $@ $(SESSION:.o=.c) -lc $(SELDOM:.o=.c)

# What tests, fuzzes and measures stands in tests/Makefile.
run tools sanitize check lint fuzz soak bench coverage memcheck aarch64 bare dist:
	@$(MAKE) -f tests/Makefile $@

# Replaced by a rename: running sessions keep the program that they started with.
install: socks4-stdio
	umask 022; mkdir -p $(SBIN) $(MAN)/man8 $(MAN)/man5; \
	cp socks4-stdio $(SBIN)/socks4-stdio.new && chmod 755 $(SBIN)/socks4-stdio.new && \
	mv -f $(SBIN)/socks4-stdio.new $(SBIN)/socks4-stdio && \
	sed $(PATHS) man/socks4-stdio.8 >$(MAN)/man8/socks4-stdio.8 && \
	sed $(PATHS) man/socks4-stdio.acl.5 >$(MAN)/man5/socks4-stdio.acl.5 && \
	chmod 644 $(MAN)/man8/socks4-stdio.8 $(MAN)/man5/socks4-stdio.acl.5 && \
	for file in $$(find examples -type f); do \
	    to=$(EXAMPLES)$${file#examples} && mkdir -p $$(dirname $$to) && rm -f $$to && sed $(PATHS) $$file >$$to && \
	    if test -x $$file; then chmod 755 $$to; else chmod 644 $$to; fi || exit; \
	done

uninstall:
	rm -f $(SBIN)/socks4-stdio $(MAN)/man8/socks4-stdio.8 $(MAN)/man5/socks4-stdio.acl.5
	for file in $$(find examples -type f); do rm -f $(EXAMPLES)$${file#examples}; done
	for directory in $$(find examples -depth -type d); do rmdir $(EXAMPLES)$${directory#examples} 2>/dev/null || :; done
	case $(EXAMPLES) in */socks4-stdio/examples) rmdir $$(dirname $(EXAMPLES)) 2>/dev/null || : ;; esac

FORCE:

clean:
	rm -rf socks4-stdio socks4-stdio-*.tar.gz *.o lib/*.o build tests/bin tests/bench/bin tests/fuzz/bin

.PHONY: all static run tools sanitize check lint fuzz soak bench coverage memcheck aarch64 bare dist \
	install uninstall clean FORCE
