// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rewinds the packet for test runs with repeat=N: the kernel gives every repetition the same
 * buffer, as the last one left it. Each run takes the last one's growth back and compares it with
 * the growth that the case expects, writes the headers anew with the next flow's client, and
 * tail-calls the program under test. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "rewind.h"

struct rewind_words rewind_state = {};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

#define PUT(type, offset, value) (*(volatile type *)(frame + (offset)) = (value))

static __always_inline void write4(void *frame, const struct rewind_words *s, __u32 client,
				   __u32 port)
{
	__u32 sum = s->four_sum + (client & 0xffff) + (client >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	PUT(__u64, 14, s->four14);
	PUT(__u32, 22, s->four22 | (~sum & 0xffff) << 16);
	PUT(__u64, 26, s->four26 | client);
	PUT(__u64, 34, s->four34 | port);
	PUT(__u64, 42, s->four42);
	PUT(__u32, 50, s->four50);
}

static __always_inline void write6(void *frame, const struct rewind_words *s, __u32 client,
				   __u32 port)
{
	PUT(__u64, 14, s->six14);
	PUT(__u64, 22, s->six22);
	PUT(__u64, 30, s->six30 | (__u64)client << 32);
	PUT(__u64, 38, s->six38);
	PUT(__u64, 46, s->six46);
	PUT(__u64, 54, s->six54 | port);
	PUT(__u16, 62, s->six62);
	PUT(__u64, 64, s->six64);
	PUT(__u16, 72, s->six72);
}

SEC("xdp")
int rewind(struct xdp_md *ctx)
{
	struct rewind_words *s = &rewind_state;
	/* In 64 bits: the verifier refuses 32-bit arithmetic on packet pointers. */
	__u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
	asm volatile("" : "+r"(length));
	__s32 grown = (__s32)((__u32)length - s->frame);

	s->runs++;
	if (grown != s->growth)
		s->bad_growth++;
	if (bpf_xdp_adjust_head(ctx, grown)) /* with 0, too: every case pays for it */
		return XDP_ABORTED;

	__u32 index = s->index + s->step;
	if (index >= s->flows)
		index -= s->flows;
	s->index = index;
	__u32 client = 10 | (index * REWIND_ADDRESS_STEP) << 8; /* 10.x.y.z as in memory */
	__u32 port = (index * REWIND_PORT_STEP >> 16) | 4;	/* 1024 and up */

	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (frame + REWIND_FRAME > end)
		return XDP_ABORTED;
	PUT(__u64, 0, s->e0);
	PUT(__u32, 8, s->e8);
	PUT(__u16, 12, s->e12);
	if (s->v6)
		write6(frame, s, client, port);
	else
		write4(frame, s, client, port);
	bpf_tail_call(ctx, &target, 0);
	s->fell_through++;
	return XDP_ABORTED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
