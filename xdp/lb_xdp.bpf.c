// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"
SEC("xdp") int lbd_xdp(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}
char _license[] SEC("license") = "Dual BSD/GPL";
