# The same as the scripts, for those who have make.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc

.PHONY: demo test test-all test-long build release format tidy bench clean install

demo:
	scripts/demo
test:
	scripts/test
# Also what takes too long for every change.
test-all: test test-long bench
test-long: build
	build/lbd-flow-tests "[.long]"
	build/lbd-unit-tests "[.long]"
build:
	scripts/build dev
release:
	scripts/build release
format:
	scripts/format
tidy:
	scripts/tidy
# BENCH=--quick: few rounds, and not what takes long to prepare.
bench: build
	build/xdp_bench $(BENCH) --json build/bench.json
	build/veth_bench $(BENCH) --json build/bench.json
	build/maglev_bench $(BENCH) --check --json build/bench.json

clean:
	rm -rf build build-release build-asan

install: release
	install -D -m 0755 build-release/lbd $(DESTDIR)$(PREFIX)/sbin/lbd
	install -D -m 0755 build-release/lbctl $(DESTDIR)$(PREFIX)/sbin/lbctl
	install -D -m 0644 config/minimal.yaml $(DESTDIR)$(SYSCONFDIR)/lbd/lbd.yaml.sample
	sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' deploy/lbd.service | \
		install -D -m 0644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/lbd.service
