/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All that the steps know about one packet, and the ways a step ends. */
#ifndef LBD_PACKET_H
#define LBD_PACKET_H
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "maps.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* One load that the compiler neither repeats, splits nor leaves out. */
#define READ_ONCE(x)	     (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

struct packet {
	struct xdp_md *ctx;
	void *at;  /* the cursor: what comes next */
	void *end; /* of the frame */

	/* The tuple. Pointers into the packet, network order, until forward() moves the head. */
	const __u32 *source, *destination; /* one word or four */
	__u32 ports;			   /* source port and destination port, as on the wire */
	__u32 protocol;
	__u32 length;	    /* of the IP packet, with its header; Ethernet's payload until known */
	__u8 traffic_class; /* DSCP and ECN */
	bool dont_fragment; /* set in the IPv4 header; always true for IPv6 */

	__u32 hash; /* of the flow */
	struct frontend *frontend;
	struct backend *backend;
	__u32 service, slot; /* TRACE_NONE until found */
	enum reason reason;
};

static __always_inline struct packet packet_from_xdp(struct xdp_md *ctx)
{
	return (struct packet){
		.ctx = ctx,
		.at = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.service = TRACE_NONE,
		.slot = TRACE_NONE,
	};
}

/* The next `length` bytes of the frame, moving the cursor past them; NULL: they aren't there. */
static __always_inline void *take(struct packet *p, __u64 length)
{
	void *here = p->at;
	if (here + length > p->end)
		return NULL;
	p->at = here + length;
	return here;
}

/* The only ways out before a packet is on its way to a backend. */
static __always_inline enum verdict drop(struct packet *p, enum reason reason)
{
	p->reason = reason;
	return VERDICT_DROP;
}
static __always_inline enum verdict pass(struct packet *p, enum reason reason)
{
	p->reason = reason;
	return VERDICT_PASS;
}

/* No frontend takes the packet, for this reason: no_frontend() decides. */
static __always_inline enum verdict unmatched(struct packet *p, enum reason reason)
{
	p->reason = reason;
	return VERDICT_UNMATCHED;
}

static __always_inline __be16 destination_port(const struct packet *p)
{
	return ((const __be16 *)&p->ports)[1];
}
#endif
