/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Passes everything. A veth delivers what its peer sends by XDP_TX only while it has an XDP program
 * itself; this one goes on the far ends of a balancer's links, and stands for a foreign program. */
#include <linux/bpf.h>

__attribute__((section("xdp"), used)) int xdp_pass(struct xdp_md* ctx) {
  (void)ctx;
  return XDP_PASS;
}

char _license[] __attribute__((section("license"), used)) = "Dual BSD/GPL";
