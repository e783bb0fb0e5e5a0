/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Steps through flows and writes their packets: for the wrapper and for the generator. */
#ifndef LBD_REWRITE_H
#define LBD_REWRITE_H
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "rewind.h"

#define PUT(type, offset, value) (*(volatile type *)(frame + (offset)) = (value))

/* What turns the template's ACK into the SYN before it, in the words of a TCP header. */
#define SYN_SEQUENCE ((__u64)REWIND_SEQUENCE << 56)
#define SYN_FLAGS    ((__u64)(REWIND_FLAGS ^ REWIND_FLAGS_SYN))

static __always_inline void write4(void *frame, const struct rewind_words *s, __u32 client,
				   __u32 port, const bool syn)
{
	__u32 sum = s->four_sum + (client & 0xffff) + (client >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	PUT(__u64, 14, s->four14);
	PUT(__u32, 22, s->four22 | (~sum & 0xffff) << 16);
	PUT(__u64, 26, s->four26 | client);
	PUT(__u64, 34, (s->four34 ^ (syn ? SYN_SEQUENCE : 0)) | port);
	PUT(__u64, 42, s->four42 ^ (syn ? SYN_FLAGS << 40 : 0));
	PUT(__u32, 50, s->four50);
}

static __always_inline void write6(void *frame, const struct rewind_words *s, __u32 client,
				   __u32 port, const bool syn)
{
	PUT(__u64, 14, s->six14);
	PUT(__u64, 22, s->six22);
	PUT(__u64, 30, s->six30 | (__u64)client << 32);
	PUT(__u64, 38, s->six38);
	PUT(__u64, 46, s->six46);
	PUT(__u64, 54, (s->six54 ^ (syn ? SYN_SEQUENCE : 0)) | port);
	PUT(__u16, 62, s->six62);
	PUT(__u64, 64, s->six64 ^ (syn ? SYN_FLAGS << 24 : 0));
	PUT(__u16, 72, s->six72);
}

static __always_inline void next_flow(struct rewind_words *s)
{
	__u32 index = s->index + s->step;
	if (index >= s->flows)
		index -= s->flows;
	s->index = index;
}

/* Writes the present flow's packet; false where there is no room for it. */
static __always_inline bool write_packet(struct xdp_md *ctx, const struct rewind_words *s,
					 const bool syn)
{
	__u32 client = (s->index * REWIND_ADDRESS_STEP) << 8 | s->client;
	__u32 port = (s->index * REWIND_PORT_STEP >> 16) | s->port;
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (frame + REWIND_FRAME > end)
		return false;
	PUT(__u64, 0, s->e0);
	PUT(__u32, 8, s->e8);
	PUT(__u16, 12, s->e12);
	if (s->v6)
		write6(frame, s, client, port, syn);
	else
		write4(frame, s, client, port, syn);
	return true;
}
#endif
