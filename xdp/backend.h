/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which backend a packet goes to: its row's owner, unless the row is moving and somebody else has
 * the flow. */
#ifndef LBD_BACKEND_H
#define LBD_BACKEND_H
#include "flow.h"
#include "hash.h"
#include "packet.h"

static __always_inline __u32 flow_hash(const struct packet *p, const bool v6)
{
	const __u32 nowhere[4] = {};
	bool source_only = unlikely(p->frontend->flags & FRONTEND_SOURCE_IP);
	__u32 ports = source_only ? 0 : p->ports;
	if (v6)
		return hash6(&cfg_hash_key, p->source, source_only ? nowhere : p->destination,
			     ports, p->protocol);
	return hash4(&cfg_hash_key, *p->source, source_only ? 0 : *p->destination, ports,
		     p->protocol);
}

static __always_inline enum verdict find_backend(struct packet *p, const bool v6)
{
	const struct frontend *frontend = p->frontend;
	p->hash = flow_hash(p, v6);
	__u32 row = frontend->ring_base + row_of(p->hash, frontend->ring_size);
	__u32 at = row / ROWS_PER_WORD;
	struct ring_word *word = bpf_map_lookup_elem(&lbd_ring, &at);
	if (unlikely(!word))
		return drop(p, REASON_INTERNAL);
	__u16 slot = READ_ONCE(word->row[row % ROWS_PER_WORD]);
	if (unlikely(slot & ROW_MOVING))
		slot = moving_owner(p, row, slot & ~ROW_MOVING, v6);
	if (unlikely(slot == SLOT_NONE))
		return drop(p, REASON_NO_BACKEND);
	p->slot = slot;
	__u32 index = frontend->backend_base + slot;
	p->backend = bpf_map_lookup_elem(&lbd_backends, &index);
	return likely(p->backend) ? VERDICT_NEXT : drop(p, REASON_INTERNAL);
}
#endif
