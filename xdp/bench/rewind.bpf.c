// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rewinds the packet for test runs with repeat=N: the kernel gives every repetition the same
 * buffer, as the last one left it. Each run takes the last one's growth back and compares it with
 * the growth that the case expects, writes the headers anew with the next flow's client, and
 * tail-calls the program under test. */
#include "rewrite.h"

struct rewind_words rewind_state = {};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

static __always_inline bool take_back(struct xdp_md *ctx, struct rewind_words *s)
{
	/* In 64 bits: the verifier refuses 32-bit arithmetic on packet pointers. */
	__u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
	asm volatile("" : "+r"(length));
	__s32 grown = (__s32)((__u32)length - s->frame);
	s->runs++;
	if (grown != s->growth)
		s->bad_growth++;
	return !bpf_xdp_adjust_head(ctx, grown); /* with 0, too: every case pays for it */
}

static __always_inline int call_target(struct xdp_md *ctx, struct rewind_words *s)
{
	bpf_tail_call(ctx, &target, 0);
	s->fell_through++;
	return XDP_ABORTED;
}

/* What is timed: each packet is another flow's. */
SEC("xdp")
int rewind(struct xdp_md *ctx)
{
	struct rewind_words *s = &rewind_state;
	if (!take_back(ctx, s))
		return XDP_ABORTED;
	next_flow(s);
	if (!write_packet(ctx, s, false))
		return XDP_ABORTED;
	return call_target(ctx, s);
}

/* Before: each flow's first packets, one after the other, so that the program under test stores it:
 * a SYN and two segments that go on from it, or three segments of a flow met in its middle. */
SEC("xdp")
int fill(struct xdp_md *ctx)
{
	struct rewind_words *s = &rewind_state;
	if (!take_back(ctx, s))
		return XDP_ABORTED;
	__u32 phase = s->phase;
	s->phase = phase + 1 == FILL_PACKETS ? 0 : phase + 1;
	if (!phase)
		next_flow(s);
	if (!(s->begin && !phase ? write_packet(ctx, s, true) : write_packet(ctx, s, false)))
		return XDP_ABORTED;
	return call_target(ctx, s);
}

char _license[] SEC("license") = "Dual BSD/GPL";
