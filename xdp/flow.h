/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who owns a flow on a moving row: docs/architecture.md "Moving rows". The only path that knows
 * single flows; a settled row never comes here, and most packets on a row whose home was given up
 * need no more than its side record. */
#ifndef LBD_FLOW_H
#define LBD_FLOW_H
#include "flow_cells.h"

#define QUIC_INITIAL_MIN 1200	    /* bytes of a client's first datagram, RFC 9000 14.1 */
#define END_WINDOW	 (16 << 20) /* bytes above the last sequence number in which an end counts */

static __always_inline __u32 now_seconds(void)
{
	return cfg_given_time ? READ_ONCE(lbd_seconds) : bpf_ktime_get_coarse_ns() / 1000000000;
}

static __always_inline void refuse(const struct flow_query *q, struct side *side)
{
	count_event(FLOW_EVENT_REFUSED);
	if (side->refused != q->now)
		WRITE_ONCE(side->refused, q->now);
}

/* Whether the entry's backend serves known flows and is still who was meant. */
static __always_inline bool is_good(const struct flow_query *q, struct flow_cell seen)
{
	const struct backend *backend = record_of(q, seen.slot);
	return has(backend, BACKEND_SERVES_KNOWN) && (__u8)backend->generation == seen.generation;
}

/* A new connection with the tuple of a stored flow whose backend takes no new flows: its SYN goes
 * to cur and is kept beside the entry, its next packet makes the entry cur's, also where the old
 * backend is gone by then or back again. A SYN alone changes nothing for the old flow: it may be
 * spoofed, and is forgotten like any start, or a long upload would come to its number. Returns
 * SLOT_NONE where the entry stands. */
static __always_inline __u16 reused_by(const struct flow_query *q, const struct stored_flow *stored,
				       bool is_owned)
{
	struct flow_detail *detail = bpf_map_lookup_elem(&lbd_flow_detail, &stored->index);
	if (!detail)
		return SLOT_NONE;
	struct flow_cell changed = stored->seen;
	struct flow_detail seen = {.pending = READ_ONCE(detail->pending)};
	struct flow_cell next = owned_by(q, seen.pending_slot, FLOW_START);
	bool waits = changed.flags & FLOW_PENDING &&
		     (__u8)(q->now - seen.pending_second) <= START_LIFE && is_good(q, next) &&
		     next.generation == seen.pending_generation;
	if (q->kind == FLOW_PACKET_START) {
		bool again = waits && seen.pending_isn == q->sequence;
		__u16 slot = again ? seen.pending_slot : q->cur;
		const struct backend *owner = record_of(q, slot);
		struct flow_detail begun = {.pending_isn = q->sequence, .pending_slot = slot};
		if (!owner || (!again && !is_owned) ||
		    (!again && has(record_of(q, changed.slot), BACKEND_TAKES_NEW)))
			return SLOT_NONE;
		begun.pending_generation = owner->generation;
		begun.pending_second = q->now;
		WRITE_ONCE(detail->pending, begun.pending);
		changed.flags |= FLOW_PENDING;
		if (changed.owner != stored->seen.owner)
			change_owner(stored, changed);
		refresh(q, stored);
		return slot;
	}
	if (!waits && changed.flags & FLOW_PENDING) {
		changed.flags &= ~FLOW_PENDING;
		change_owner(stored, changed);
	}
	if (!waits || q->kind == FLOW_PACKET_END ||
	    q->sequence - seen.pending_isn - 1 >= CONFIRM_WINDOW)
		return SLOT_NONE;
	change_owner(stored, next);
	refresh(q, stored);
	return seen.pending_slot;
}

/* What a packet says of its stored flow: that it lives, or that it ends. An end from nowhere near
 * the client's last sequence number is a stranger's; data or a SYN after it shows that there was
 * none, or that the tuple is used again. */
static __always_inline void note(const struct flow_query *q, const struct stored_flow *stored)
{
	struct flow_cell changed = stored->seen;
	if (q->kind == FLOW_PACKET_END) {
		changed.flags |= FLOW_CLOSING;
		if (q->sequence - stored->seen.sequence >= END_WINDOW ||
		    changed.owner == stored->seen.owner)
			return;
		change_owner(stored, changed); /* and from now on it is idle sooner: */
		refresh(q, stored);
		return;
	}
	if (unlikely(changed.flags & FLOW_CLOSING) &&
	    (q->has_data || q->kind == FLOW_PACKET_START)) {
		changed.flags &= ~FLOW_CLOSING;
		change_owner(stored, changed);
	}
	refresh(q, stored);
}

/* The backend of a stored flow if that is good; else the entry becomes cur's, in place, which needs
 * no room. */
static __always_inline __u16 stored_owner(const struct flow_query *q,
					  const struct stored_flow *stored)
{
	bool good = is_good(q, stored->seen);
	if (q->key.protocol == IPPROTO_TCP &&
	    (stored->seen.flags & FLOW_PENDING ||
	     (good && !has(record_of(q, stored->seen.slot), BACKEND_TAKES_NEW)))) {
		__u16 reused = reused_by(q, stored, good);
		if (reused != SLOT_NONE)
			return reused;
	}
	if (good) {
		note(q, stored);
		return stored->seen.slot;
	}
	if (q->cur != SLOT_NONE) {
		change_owner(stored, owned_by(q, q->cur, stored->seen.flags & FLOW_START));
		refresh(q, stored);
	}
	return q->cur;
}

/* The backend of a start that a packet belongs to. Its first packet but a SYN or an end makes it an
 * entry, before the cell goes: who finds it in neither looks among the entries once more. */
static __always_inline __u16 started_owner(const struct flow_query *q, struct cell_place start,
					   struct side *side, __u16 home)
{
	__u16 slot = start_slot(start.seen);
	if (!has(record_of(q, slot), BACKEND_SERVES_KNOWN))
		slot = q->cur;
	if (q->kind == FLOW_PACKET_START) {
		/* The second of its last SYN counts: the answer to it may be the one that arrives.
		 * Not where home was given up: the row ends when its starts have had their time.
		 */
		__u64 mine = start_cell(q, slot);
		if (slot != SLOT_NONE && home != q->cur && mine != start.seen)
			__sync_val_compare_and_swap(start.cell, start.seen, mine);
		return slot;
	}
	if (q->kind == FLOW_PACKET_END || slot == SLOT_NONE || (home == q->cur && slot == home))
		return slot;
	__u16 owner = lbd_insert_flow(q, slot, FLOW_START);
	if (owner == SLOT_NONE) {
		refuse(q, side);
		return slot;
	}
	count_event(FLOW_EVENT_CONFIRMED);
	__sync_val_compare_and_swap(start.cell, start.seen, 0);
	return owner;
}

/* A start goes to the row's new owner if it can be kept; on a row that lately could not, it doesn't
 * try, or a SYN and its copy would go two ways. */
static __always_inline __u16 new_owner(const struct flow_query *q, struct side *side,
				       const struct backend *home, __u16 home_slot)
{
	bool waits = has(home, BACKEND_TAKES_NEW | BACKEND_DRAINING);
	if (q->cur == SLOT_NONE)
		return waits ? home_slot : q->cur;
	if (waits && q->now - READ_ONCE(side->refused) < START_HOLD)
		return home_slot;
	__u16 owner = has_room(q) ? store_start(q, q->cur) : SLOT_NONE;
	if (owner != SLOT_NONE) {
		count_event(FLOW_EVENT_STARTED);
		return owner;
	}
	refuse(q, side);
	return waits ? home_slot : q->cur;
}

/* A flow met in its middle is home's, and kept so that the row can settle under it: at once while
 * there are tokens, else with its second packet. Whatever isn't kept leaves its row a stamp. */
static __always_inline __u16 adopted_owner(const struct flow_query *q, struct side *side,
					   __u16 home)
{
	struct cell_place met = {};
	if (!take_adopt_token() && !was_met(q, &met)) {
		refuse(q, side);
		return home;
	}
	__u16 owner = lbd_insert_flow(q, home, 0);
	if (owner == SLOT_NONE) {
		refuse(q, side);
		return home;
	}
	count_event(FLOW_EVENT_ADOPTED);
	if (met.cell)
		__sync_val_compare_and_swap(met.cell, met.seen, 0);
	return owner;
}

/* The slot of a flow on a moving row that single flows must be asked about. A function of its own,
 * once for both families: the settled path stays short and its registers free. */
__noinline int lbd_flow_owner(struct flow_query *q)
{
	if (!q)
		return SLOT_NONE;
	struct side *side = bpf_map_lookup_elem(&lbd_side, &q->row);
	if (!side)
		return q->cur;
	struct side now = {.owner = READ_ONCE(side->owner)};
	q->now = now_seconds();
	q->print = flow_print(&cfg_hash_key, &q->key);
	struct stored_flow stored = find_flow(q);
	struct cell_place start = {};
	if (!stored.cell) {
		start = find_start(q);
		if (!start.cell)
			stored = find_flow(q); /* a start that became an entry meanwhile */
	}
	if (stored.cell)
		return stored_owner(q, &stored);
	if (start.cell)
		return started_owner(q, start, side, now.home);
	if (now.home == q->cur)
		return q->cur;

	const struct backend *home = record_of(q, now.home);
	if (q->kind == FLOW_PACKET_START)
		return new_owner(q, side, home, now.home);
	/* Unknown UDP may be a new flow, too: a home that is down must not get it. */
	__u16 needs = q->key.protocol == IPPROTO_TCP ? BACKEND_SERVES_KNOWN
						     : BACKEND_TAKES_NEW | BACKEND_DRAINING;
	if (!has(home, needs))
		return q->cur;
	return q->kind == FLOW_PACKET_END ? now.home : adopted_owner(q, side, now.home);
}

/* ---- The packet ---- */
static __always_inline void read_tcp(const struct packet *p, struct flow_query *q, const bool v6)
{
	const struct tcphdr *tcp = p->at;
	__u32 ip = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	if ((const void *)(tcp + 1) > p->end)
		return;
	q->sequence = bpf_ntohl(tcp->seq);
	q->has_data = p->length > ip + tcp->doff * 4;
	if (tcp->fin || tcp->rst)
		q->kind = FLOW_PACKET_END;
	else if (tcp->syn && !tcp->ack)
		q->kind = FLOW_PACKET_START;
}

/* A QUIC long header in a datagram of an Initial's size. Other UDP shows no beginning. */
static __always_inline void read_udp(const struct packet *p, struct flow_query *q)
{
	const struct udphdr *udp = p->at;
	const __u8 *payload = (const void *)(udp + 1);
	if ((const void *)(payload + 1) <= p->end && (*payload & 0xc0) == 0xc0 &&
	    bpf_ntohs(udp->len) >= QUIC_INITIAL_MIN + sizeof(*udp))
		q->kind = FLOW_PACKET_START;
}

static __always_inline struct flow_query query_of(const struct packet *p, __u32 row, __u16 cur,
						  const bool v6)
{
	struct flow_query q = {
		.key = {.source_port = ((const __be16 *)&p->ports)[0],
			.destination_port = destination_port(p),
			.protocol = p->protocol,
			.v6 = v6,
			.service = p->service},
		.row = row,
		.backend_base = p->frontend->backend_base,
		.cur = cur,
	};
	__builtin_memcpy(q.key.source, p->source, v6 ? 16 : 4);
	__builtin_memcpy(q.key.destination, p->destination, v6 ? 16 : 4);
	if (p->protocol == IPPROTO_TCP)
		read_tcp(p, &q, v6);
	else
		read_udp(p, &q);
	return q;
}

/* The slot of a packet's flow on a moving row; `cur` was read before the side record. */
static __always_inline __u16 moving_owner(const struct packet *p, __u32 row, __u16 cur,
					  const bool v6)
{
	const struct side *side = bpf_map_lookup_elem(&lbd_side, &row);
	if (!side)
		return cur;
	struct side now = {.owner = READ_ONCE(side->owner)};
	if (now.home == cur && !(now.filter & filter_bit(p->hash)))
		return cur;
	struct flow_query q = query_of(p, row, cur, v6);
	return lbd_flow_owner(&q);
}
#endif
