/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The counters, and the one place where a verdict becomes the hook's code. */
#ifndef LBD_STATS_H
#define LBD_STATS_H
#include "packet.h"

static __always_inline void add(void *counters, __u32 index, __u32 bytes)
{
	struct counter *counter = bpf_map_lookup_elem(counters, &index);
	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
}

/* A service is the sum of its backends: one counter a packet. */
static __always_inline void count_forwarded(const struct packet *p)
{
	add(&lbd_counters, p->frontend->counter_base + p->slot, p->length);
}

static __always_inline int finish_xdp(const struct packet *p, enum verdict verdict)
{
	if (p->reason != REASON_NONE)
		add(&lbd_reasons, p->reason, p->length);
	if (cfg_trace)
		lbd_trace = (struct trace){
			.verdict = verdict,
			.reason = p->reason,
			.service = p->service,
			.slot = p->slot,
		};
	switch (verdict) {
	case VERDICT_TX:
		return XDP_TX;
	case VERDICT_REDIRECT:
		return XDP_REDIRECT;
	case VERDICT_PASS:
		return XDP_PASS;
	default:
		return XDP_DROP;
	}
}
#endif
