// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Both ends of a veth pair with a program under test on one of them: what sends packets there, and
 * what takes those that come back. */
#include "rewrite.h"

struct rewind_words generator_state = {};
__u32 generator_to = 0; /* interface whose peer runs the program under test */

/* Of one CPU: the generator's, which also runs both ends. */
__u64 sink_packets = 0;
__u64 sink_bytes = 0;

/* Run on live frames: they are used again and again, and come without what was put in front. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct rewind_words *s = &generator_state;
	next_flow(s);
	if (!write_packet(ctx, s, false))
		return XDP_ABORTED;
	return bpf_redirect(generator_to, 0);
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	sink_packets++;
	sink_bytes += ctx->data_end - ctx->data;
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
