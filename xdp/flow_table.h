/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The stored flows: own cells, since a BPF hash costs a packet three times as many cache misses.
 * The order of writes is told at struct flow_cell; every change here is one compare-and-swap, so a
 * cell that was given to another flow meanwhile is never touched. */
#ifndef LBD_FLOW_TABLE_H
#define LBD_FLOW_TABLE_H
#include "hash.h"
#include "packet.h"

/* A packet on a moving row, as the flow memory sees it. */
struct flow_query {
	struct flow_key key;
	__u64 print;
	__u32 row;
	__u32 backend_base;
	__u32 sequence; /* TCP's, else 0 */
	__u32 now;	/* s */
	__u16 cur;
	__u8 kind; /* enum flow_packet */
	bool has_data;
};
enum flow_packet {
	FLOW_PACKET_MIDDLE,
	FLOW_PACKET_START, /* TCP SYN without ACK, or a QUIC Initial */
	FLOW_PACKET_END,   /* FIN or RST: looked up, and nothing else */
};

/* A stored flow: where, and its two halves as they were read. */
struct stored_flow {
	struct flow_cell *cell; /* NULL: none */
	struct flow_cell seen;
	__u32 index; /* of the cell and its detail */
};

static __always_inline void count_event(enum flow_event event)
{
	__u32 index = event;
	struct counter *counter = bpf_map_lookup_elem(&lbd_flow_events, &index);
	if (counter)
		counter->packets++;
}

static __always_inline struct backend *record_of(const struct flow_query *q, __u16 slot)
{
	__u32 index = q->backend_base + slot;
	return slot == SLOT_NONE ? NULL : bpf_map_lookup_elem(&lbd_backends, &index);
}

static __always_inline bool has(const struct backend *backend, __u16 any_of)
{
	return backend && READ_ONCE(backend->flags) & any_of;
}

/* What a cell of that owner holds in its first half. */
static __always_inline struct flow_cell owned_by(const struct flow_query *q, __u16 slot, __u8 flags)
{
	const struct backend *backend = record_of(q, slot);
	return (struct flow_cell){
		.flags = flags | FLOW_USED,
		.generation = backend ? backend->generation : 0,
		.slot = slot,
		.tag = print_tag(q->print),
	};
}

static __always_inline struct flow_cell seen_now(const struct flow_query *q)
{
	return (struct flow_cell){
		.sequence = q->sequence,
		.seen = q->now,
		.mark = print_mark(q->print),
	};
}

static __always_inline struct flow_line *flow_line_at(__u32 line)
{
	return bpf_map_lookup_elem(&lbd_flows, &line);
}

/* Looks through one line; true where the flow is there. */
static __always_inline bool find_in_line(const struct flow_query *q, __u32 line,
					 struct stored_flow *found)
{
	struct flow_line *at = flow_line_at(line);
	if (!at)
		return false;
	for (__u32 i = 0; i < FLOWS_PER_LINE; i++) {
		struct flow_cell seen = {.owner = READ_ONCE(at->cell[i].owner)};
		if (seen.tag != print_tag(q->print) || !(seen.flags & FLOW_USED))
			continue;
		seen.life = READ_ONCE(at->cell[i].life);
		if (seen.mark != print_mark(q->print))
			continue;
		*found = (struct stored_flow){
			.cell = &at->cell[i],
			.seen = seen,
			.index = line * FLOWS_PER_LINE + i,
		};
		return true;
	}
	return false;
}

static __always_inline struct stored_flow find_flow(const struct flow_query *q)
{
	struct stored_flow found = {};
	if (!find_in_line(q, print_home(q->print, cfg_flow_lines), &found))
		find_in_line(q, print_away(q->print, cfg_flow_lines), &found);
	return found;
}

#define COMPACT _Pragma("clang loop unroll(disable)") /* rare: less code instead */

static __always_inline __u32 free_cells(const struct flow_line *line)
{
	__u32 count = 0;
	COMPACT for (__u32 i = 0; line && i < FLOWS_PER_LINE; i++) count +=
		!READ_ONCE(line->cell[i].owner);
	return count;
}

/* Whether a flow could be stored now: a start that could not be kept once it is confirmed had
 * better not begin. */
static __always_inline bool has_room(const struct flow_query *q)
{
	return free_cells(flow_line_at(print_home(q->print, cfg_flow_lines))) ||
	       free_cells(flow_line_at(print_away(q->print, cfg_flow_lines)));
}

/* Takes a free cell of the line and fills it in. */
static __always_inline bool insert_in_line(const struct flow_query *q, __u32 line,
					   struct flow_cell mine, __u32 *index)
{
	struct flow_line *at = flow_line_at(line);
	if (!at)
		return false;
	COMPACT for (__u32 i = 0; i < FLOWS_PER_LINE; i++)
	{
		struct flow_cell *cell = &at->cell[i];
		if (READ_ONCE(cell->owner) ||
		    __sync_val_compare_and_swap(&cell->owner, 0, mine.owner))
			continue;
		*index = line * FLOWS_PER_LINE + i;
		struct flow_detail *detail = bpf_map_lookup_elem(&lbd_flow_detail, index);
		if (detail) {
			detail->key = q->key;
			detail->pending = 0;
		}
		/* An exchange, not a store: the detail comes first on every machine. */
		__sync_lock_test_and_set(&cell->life, seen_now(q).life);
		return true;
	}
	return false;
}

/* Stores the flow as slot's and returns its owner: another CPU's if that was first. SLOT_NONE: both
 * lines are full. The home line is preferred while it has two free cells, so that most look-ups
 * end there; then the emptier one, so that both are rarely full. */
__noinline int lbd_insert_flow(const struct flow_query *q, __u16 slot, __u8 flags)
{
	if (!q)
		return SLOT_NONE;
	struct flow_cell mine = owned_by(q, slot, flags);
	__u32 first = print_home(q->print, cfg_flow_lines);
	__u32 second = print_away(q->print, cfg_flow_lines);
	__u32 free = free_cells(flow_line_at(first));
	__u32 index;
	if (free < 2 && free_cells(flow_line_at(second)) > free) {
		__u32 other = first;
		first = second;
		second = other;
	}
	if (!insert_in_line(q, first, mine, &index) && !insert_in_line(q, second, mine, &index))
		return SLOT_NONE;
	/* Another CPU may have stored the same flow meanwhile: the one that is found counts. */
	struct stored_flow found = find_flow(q);
	return found.cell ? found.seen.slot : slot;
}

/* Changes the owner unless somebody else did. */
static __always_inline bool change_owner(const struct stored_flow *stored, struct flow_cell to)
{
	return __sync_val_compare_and_swap(&stored->cell->owner, stored->seen.owner, to.owner) ==
	       stored->seen.owner;
}

/* The flow was seen: once a second, or once a mebibyte, so that its end is known by its sequence
 * number also at high rates. The numbers of a SYN or an end may be a stranger's and are not taken.
 */
static __always_inline void refresh(const struct flow_query *q, const struct stored_flow *stored)
{
	struct flow_cell now = seen_now(q);
	if (q->kind != FLOW_PACKET_MIDDLE)
		now.sequence = stored->seen.sequence;
	__u32 ahead = now.sequence - stored->seen.sequence;
	if (now.seen != stored->seen.seen || (ahead > 1 << 20 && ahead < 1u << 31))
		__sync_val_compare_and_swap(&stored->cell->life, stored->seen.life, now.life);
}
#endif
