/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which frontend a packet is for, and what becomes of one that is for none. */
#ifndef LBD_FRONTEND_H
#define LBD_FRONTEND_H
#include "hash.h"
#include "packet.h"

static __always_inline struct frontend *in_bucket4(__u32 bucket, __u64 key)
{
	struct frontend_bucket4 *at = bpf_map_lookup_elem(&lbd_frontends4, &bucket);
	if (at && at->cell[0].key == key)
		return &at->cell[0].value;
	if (at && at->cell[1].key == key)
		return &at->cell[1].value;
	return NULL;
}

static __always_inline struct frontend *in_bucket6(__u32 bucket, const __u64 *key)
{
	struct frontend_bucket6 *at = bpf_map_lookup_elem(&lbd_frontends6, &bucket);
	if (at && at->key[2] == key[2] && at->key[0] == key[0] && at->key[1] == key[1])
		return &at->value;
	return NULL;
}

static __always_inline struct frontend *look_up(const struct packet *p, __be16 port, __u8 protocol,
						const bool v6)
{
	struct frontend *found;
	if (v6) {
		const __u32 *a = p->destination;
		__u64 key[3] = {(__u64)a[1] << 32 | a[0], (__u64)a[3] << 32 | a[2],
				frontend_port_key(port, protocol)};
		__u32 hash = frontend_hash6(key);
		found = in_bucket6(frontend_home(hash), key);
		return found ? found : in_bucket6(frontend_away(hash), key);
	}
	__u64 key = frontend_key4(*p->destination, port, protocol);
	__u32 hash = frontend_hash(key);
	found = in_bucket4(frontend_home(hash), key);
	return found ? found : in_bucket4(frontend_away(hash), key);
}

/* Whether the destination may be a VIP or an address of this node at all: one bit, no look-up. */
static __always_inline bool maybe_ours(const struct packet *p, const bool v6)
{
	__u32 bit = v6 ? address_bit6(p->destination) : address_bit4(*p->destination);
	return lbd_address_filter[bit >> 6] >> (bit & 63) & 1;
}

/* A packet that no frontend takes. A foreign destination passes, untouched; one to a VIP is dropped
 * with its reason, since the stack would send it back to the router, in a loop. What has no port of
 * the service to be confused with goes to the stack where the operator says so or where the VIP is
 * an address of this node, which then answers pings, or ssh. */
static __always_inline enum verdict no_frontend(struct packet *p, const bool v6)
{
	enum reason reason = p->reason;
	const struct frontend *address = look_up(p, 0, 0, v6);
	if (!address)
		return pass(p, REASON_NOT_A_VIP);
	p->service = address->service;
	bool unknown = reason == REASON_NO_SERVICE_PORT || reason == REASON_ICMP;
	if (unknown &&
	    (address->flags & FRONTEND_LOCAL || !(address->flags & FRONTEND_DROP_UNKNOWN)))
		return pass(p, reason);
	return drop(p, reason);
}

static __always_inline bool allowed(const struct packet *p, __u32 scope, const bool v6)
{
	if (v6) {
		struct allow_key6 key = {.prefix_length = 160, .scope = scope};
		__builtin_memcpy(key.address, p->source, sizeof(key.address));
		return bpf_map_lookup_elem(&lbd_allow6, &key);
	}
	struct allow_key4 key = {.prefix_length = 64, .scope = scope, .address = *p->source};
	return bpf_map_lookup_elem(&lbd_allow4, &key);
}

static __always_inline enum verdict find_frontend(struct packet *p, const bool v6)
{
	__be16 port = destination_port(p);
	p->frontend = look_up(p, port, p->protocol, v6);
	if (unlikely(!p->frontend)) {
		if (!port)
			return unmatched(p, REASON_MALFORMED); /* RFC 6335 6: reserved */
		p->frontend = look_up(p, 0, p->protocol | PROTOCOL_EVERY_PORT, v6);
		if (!p->frontend)
			return unmatched(p, REASON_NO_SERVICE_PORT);
	}
	p->service = p->frontend->service;
	if (unlikely(p->frontend->flags & FRONTEND_ALLOW_LIST) && !allowed(p, p->service, v6))
		return drop(p, REASON_NOT_ALLOWED);
	return VERDICT_NEXT;
}
#endif
