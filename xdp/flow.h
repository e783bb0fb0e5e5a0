/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who owns a flow on a moving row: docs/architecture.md "Moving rows". The only path that knows
 * single flows; a settled row never comes here. */
#ifndef LBD_FLOW_H
#define LBD_FLOW_H
#include "hash.h"
#include "packet.h"

#define QUIC_INITIAL_MIN 1200	    /* bytes of a client's first datagram, RFC 9000 14.1 */
#define END_WINDOW	 (16 << 20) /* bytes above the last sequence number in which an end counts */

static __always_inline __u32 now_seconds(void)
{
	return bpf_ktime_get_coarse_ns() / 1000000000;
}

/* Whether the packet begins a flow: a TCP SYN without ACK, or a QUIC long header in a datagram of
 * an Initial's size. Other UDP shows no beginning. */
static __always_inline bool starts_flow(const struct packet *p)
{
	if (p->protocol == IPPROTO_TCP) {
		const struct tcphdr *tcp = p->at;
		return (const void *)(tcp + 1) <= p->end && tcp->syn && !tcp->ack;
	}
	const struct udphdr *udp = p->at;
	const __u8 *payload = (const void *)(udp + 1);
	return (const void *)(payload + 1) <= p->end && (*payload & 0xc0) == 0xc0 &&
	       bpf_ntohs(udp->len) >= QUIC_INITIAL_MIN + sizeof(*udp);
}

/* FIN or RST. They end a flow and never make, confirm or keep one. */
static __always_inline bool ends_flow(const struct packet *p)
{
	const struct tcphdr *tcp = p->at;
	return p->protocol == IPPROTO_TCP && (const void *)(tcp + 1) <= p->end &&
	       (tcp->fin || tcp->rst);
}

static __always_inline bool has_data(const struct packet *p, const bool v6)
{
	const struct tcphdr *tcp = p->at;
	__u32 ip = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	return (const void *)(tcp + 1) <= p->end && p->length > ip + tcp->doff * 4;
}

static __always_inline __u32 sequence_of(const struct packet *p)
{
	const struct tcphdr *tcp = p->at;
	if (p->protocol != IPPROTO_TCP || (const void *)(tcp + 1) > p->end)
		return 0;
	return bpf_ntohl(tcp->seq);
}

static __always_inline struct backend *record_of(const struct packet *p, __u16 slot)
{
	__u32 index = p->frontend->backend_base + slot;
	return slot == SLOT_NONE ? NULL : bpf_map_lookup_elem(&lbd_backends, &index);
}

static __always_inline bool has(const struct backend *backend, __u16 any_of)
{
	return backend && READ_ONCE(backend->flags) & any_of;
}

static __always_inline struct flow_key key_of(const struct packet *p, const bool v6)
{
	struct flow_key key = {
		.source_port = ((const __be16 *)&p->ports)[0],
		.destination_port = destination_port(p),
		.protocol = p->protocol,
		.v6 = v6,
	};
	__builtin_memcpy(key.source, p->source, v6 ? 16 : 4);
	__builtin_memcpy(key.destination, p->destination, v6 ? 16 : 4);
	return key;
}

static __always_inline struct flow flow_to(const struct packet *p, __u16 slot, __u16 flags)
{
	const struct backend *backend = record_of(p, slot);
	return (struct flow){
		.slot = slot,
		.generation = backend ? backend->generation : 0,
		.service = p->service,
		.flags = flags,
		.seen = now_seconds(),
		.sequence = sequence_of(p),
		.pending_slot = SLOT_NONE,
	};
}

/* Whether `sequence` goes on from a SYN with that initial sequence number. */
static __always_inline bool confirms(__u32 sequence, __u32 isn)
{
	return sequence - isn - 1 < 65535;
}

/* A new connection with the tuple of a stored flow whose backend takes no new flows: its SYN goes
 * to cur and is kept beside the entry, its next packet makes the entry cur's. A SYN alone changes
 * nothing for the old flow: it may be spoofed. Returns SLOT_NONE where the entry stands. */
static __always_inline __u16 reused_by(const struct packet *p, struct flow *stored, __u16 cur)
{
	struct flow seen = {.pending = READ_ONCE(stored->pending)};
	__u32 sequence = sequence_of(p);
	if (starts_flow(p)) {
		const struct backend *owner = record_of(p, cur);
		if (!owner)
			return SLOT_NONE;
		struct flow next = {.pending_isn = sequence,
				    .pending_slot = cur,
				    .pending_generation = owner->generation};
		WRITE_ONCE(stored->pending, next.pending);
		return cur;
	}
	if (seen.pending_slot == SLOT_NONE || !confirms(sequence, seen.pending_isn))
		return SLOT_NONE;
	const struct backend *next = record_of(p, seen.pending_slot);
	if (!has(next, BACKEND_SERVES_KNOWN) || next->generation != seen.pending_generation)
		return SLOT_NONE;
	struct flow mine = {.slot = seen.pending_slot,
			    .generation = seen.pending_generation,
			    .service = p->service,
			    .flags = FLOW_START};
	WRITE_ONCE(stored->owner, mine.owner);
	WRITE_ONCE(stored->seen, now_seconds());
	return seen.pending_slot;
}

/* What a packet says of its stored flow: that it lives, or that it ends. An end from nowhere near
 * the client's last sequence number is a stranger's; data after it shows that there was none. */
static __always_inline void note(const struct packet *p, struct flow *stored, struct flow seen,
				 const bool v6)
{
	struct flow changed = seen;
	if (ends_flow(p)) {
		changed.flags |= FLOW_CLOSING;
		if (sequence_of(p) - stored->sequence < END_WINDOW && changed.owner != seen.owner)
			__sync_val_compare_and_swap(&stored->owner, seen.owner, changed.owner);
		return;
	}
	if (starts_flow(p))
		return;
	if (unlikely(seen.flags & FLOW_CLOSING) && has_data(p, v6)) {
		changed.flags &= ~FLOW_CLOSING;
		__sync_val_compare_and_swap(&stored->owner, seen.owner, changed.owner);
	}
	__u32 now = now_seconds();
	if (stored->seen != now) {
		WRITE_ONCE(stored->seen, now);
		WRITE_ONCE(stored->sequence, sequence_of(p));
	}
}

/* Whether the entry's backend serves known flows and is still who was meant. */
static __always_inline bool is_good(const struct packet *p, struct flow seen)
{
	const struct backend *backend = record_of(p, seen.slot);
	return seen.service == p->service && has(backend, BACKEND_SERVES_KNOWN) &&
	       backend->generation == seen.generation;
}

/* The backend of a stored flow if that is good; else the entry becomes cur's, in place, which needs
 * no room. */
static __always_inline __u16 stored_owner(const struct packet *p, struct flow *stored, __u16 cur,
					  const bool v6)
{
	struct flow seen = {.owner = READ_ONCE(stored->owner)};
	if (is_good(p, seen)) {
		if (p->protocol == IPPROTO_TCP &&
		    !has(record_of(p, seen.slot), BACKEND_TAKES_NEW)) {
			__u16 reused = reused_by(p, stored, cur);
			if (reused != SLOT_NONE)
				return reused;
		}
		note(p, stored, seen, v6);
		return seen.slot;
	}
	if (cur == SLOT_NONE)
		return cur;
	struct flow mine = flow_to(p, cur, seen.flags);
	WRITE_ONCE(stored->owner, mine.owner);
	WRITE_ONCE(stored->seen, mine.seen);
	return cur;
}

static __always_inline void refuse(struct side *side)
{
	__u32 now = now_seconds();
	if (side->refused != now)
		WRITE_ONCE(side->refused, now);
}

/* Remembers the flow as slot's and returns its owner: another CPU's if that was first, and
 * `otherwise` where there is no room, which the row then bears the stamp of. */
static __always_inline __u16 remember(const struct packet *p, const struct flow_key *key,
				      struct side *side, __u16 slot, __u16 flags, __u16 otherwise)
{
	struct flow mine = flow_to(p, slot, flags);
	if (!bpf_map_update_elem(&lbd_flows, key, &mine, BPF_NOEXIST))
		return slot;
	struct flow *first = bpf_map_lookup_elem(&lbd_flows, key);
	if (first && is_good(p, (struct flow){.owner = READ_ONCE(first->owner)}))
		return first->slot;
	refuse(side);
	return otherwise;
}

/* The slot of a packet's flow on a moving row; `cur` was read before the side record. */
static __always_inline __u16 moving_owner(const struct packet *p, __u32 row, __u16 cur,
					  const bool v6)
{
	struct side *side = bpf_map_lookup_elem(&lbd_side, &row);
	if (!side)
		return cur;
	struct side now = {.owner = READ_ONCE(side->owner)};
	if (now.home == cur && !(now.filter & filter_bit(p->hash)))
		return cur;

	struct flow_key key = key_of(p, v6);
	struct flow *stored = bpf_map_lookup_elem(&lbd_flows, &key);
	if (stored)
		return stored_owner(p, stored, cur, v6);
	if (now.home == cur)
		return cur;

	const struct backend *home = record_of(p, now.home);
	if (starts_flow(p)) {
		if (cur == SLOT_NONE)
			return cur;
		bool waits = has(home, BACKEND_TAKES_NEW | BACKEND_DRAINING);
		return remember(p, &key, side, cur, FLOW_START, waits ? now.home : cur);
	}
	/* Unknown UDP may be a new flow, too: a home that is down must not get it. */
	__u16 needs = p->protocol == IPPROTO_TCP ? BACKEND_SERVES_KNOWN
						 : BACKEND_TAKES_NEW | BACKEND_DRAINING;
	if (has(home, needs) && ends_flow(p))
		return now.home;
	if (has(home, needs))
		return remember(p, &key, side, now.home, 0, now.home);
	return cur;
}
#endif
