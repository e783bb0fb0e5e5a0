/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is known of flows before they are worth an entry: starts until a packet shows that the
 * client saw the answer, and flows met in their middle beyond the rate of adoption. Cells of 8
 * bytes, so that a flood of spoofed packets costs little memory and no entry. */
#ifndef LBD_FLOW_CELLS_H
#define LBD_FLOW_CELLS_H
#include "flow_table.h"

#define CONFIRM_WINDOW 65535 /* bytes above the SYN's sequence number that confirm it */

struct cell_place {
	__u64 *cell; /* NULL: none */
	__u64 seen;  /* what it held */
};

/* ---- Starts ---- */
static __always_inline __u64 start_cell(const struct flow_query *q, __u16 slot)
{
	__u32 isn = q->key.protocol == IPPROTO_TCP ? q->sequence : print_tag(q->print);
	__u32 second = q->now & START_SECOND_MASK;
	return (__u64)isn << START_ISN_SHIFT | print_start(q->print) << START_PRINT_SHIFT |
	       second << START_SECOND_SHIFT | slot;
}

static __always_inline __u32 start_age(const struct flow_query *q, __u64 cell)
{
	return (q->now - (__u32)(cell >> START_SECOND_SHIFT)) & START_SECOND_MASK;
}

static __always_inline __u16 start_slot(__u64 cell)
{
	return cell & SLOT_NONE;
}

/* Whether the packet is of that start: its SYN again, or one that goes on from it. */
static __always_inline bool is_start_of(const struct flow_query *q, __u64 cell)
{
	__u32 isn = cell >> START_ISN_SHIFT;
	if (!cell || ((__u32)cell >> START_PRINT_SHIFT) != print_start(q->print) ||
	    start_age(q, cell) > START_LIFE)
		return false;
	if (q->key.protocol != IPPROTO_TCP)
		return isn == print_tag(q->print);
	if (q->kind == FLOW_PACKET_START)
		return isn == q->sequence;
	return q->sequence - isn - 1 < CONFIRM_WINDOW;
}

static __always_inline struct cell_line *start_line_at(__u32 line)
{
	return bpf_map_lookup_elem(&lbd_starts, &line);
}

/* The place of a cell in a line that was looked through a moment ago. */
static __always_inline struct cell_place cell_of_line(struct cell_line *at, __u32 index)
{
	if (!at || index >= CELLS_PER_LINE)
		return (struct cell_place){};
	return (struct cell_place){.cell = &at->cell[index], .seen = READ_ONCE(at->cell[index])};
}

/* The index of the packet's start in a line; CELLS_PER_LINE: it isn't there. A function that is
 * verified once, as the next one is: what one line can look like is enough for the verifier. */
__noinline int lbd_find_start(const struct flow_query *q, __u32 line)
{
	const struct cell_line *at = start_line_at(line);
	COMPACT for (__u32 i = 0; q && at && i < CELLS_PER_LINE; i++)
	{
		if (is_start_of(q, READ_ONCE(at->cell[i])))
			return i;
	}
	return CELLS_PER_LINE;
}

static __always_inline struct cell_place find_start(const struct flow_query *q)
{
	__u32 line = print_home(q->print, cfg_start_lines);
	__u32 index = lbd_find_start(q, line);
	if (index >= CELLS_PER_LINE) {
		line = print_away(q->print, cfg_start_lines);
		index = lbd_find_start(q, line);
	}
	struct cell_place place = cell_of_line(start_line_at(line), index);
	if (!is_start_of(q, place.seen)) /* it went meanwhile */
		place.cell = NULL;
	return place;
}

/* How many cells of a line a start may have, and the index of one of them: count << 8 | index. */
__noinline int lbd_free_starts(const struct flow_query *q, __u32 line)
{
	const struct cell_line *at = start_line_at(line);
	int count = 0, index = 0;
	COMPACT for (__u32 i = 0; q && at && i < CELLS_PER_LINE; i++)
	{
		__u64 seen = READ_ONCE(at->cell[i]);
		if (seen && start_age(q, seen) < START_HOLD)
			continue;
		index = i;
		count++;
	}
	return count << 8 | index;
}

/* Keeps the start as slot's, in the emptier of its lines, and returns its owner: another CPU's if
 * that was first with a copy of the SYN. SLOT_NONE: there is no room. */
static __always_inline __u16 store_start(const struct flow_query *q, __u16 slot)
{
	__u32 line = print_home(q->print, cfg_start_lines);
	__u32 away = print_away(q->print, cfg_start_lines);
	__u32 free = lbd_free_starts(q, line), elsewhere = lbd_free_starts(q, away);
	if (elsewhere >> 8 > free >> 8) {
		line = away;
		free = elsewhere;
	}
	if (!(free >> 8))
		return SLOT_NONE;
	struct cell_place place = cell_of_line(start_line_at(line), free & 0xff);
	if (place.cell && (!place.seen || start_age(q, place.seen) >= START_HOLD) &&
	    __sync_val_compare_and_swap(place.cell, place.seen, start_cell(q, slot)) == place.seen)
		return slot;
	struct cell_place first = find_start(q);
	return first.cell ? start_slot(first.seen) : SLOT_NONE;
}

/* ---- Adoptions ---- */
/* The index of the flow's cell in a line if it left one, else of one that it may have, else
 * CELLS_PER_LINE. Younger cells are kept from others, as with starts. */
__noinline int lbd_find_adopt(const struct flow_query *q, __u32 line)
{
	const struct cell_line *at = bpf_map_lookup_elem(&lbd_adopts, &line);
	__u32 index = CELLS_PER_LINE;
	COMPACT for (__u32 i = 0; q && at && i < CELLS_PER_LINE; i++)
	{
		__u64 seen = READ_ONCE(at->cell[i]);
		if (seen >> ADOPT_PRINT_SHIFT == print_adopt(q->print))
			return i;
		if (!seen || (__u16)(q->now - (__u16)seen) >= START_HOLD)
			index = i;
	}
	return index;
}

/* Whether the flow left a cell before, which is `place` then; if not, it tries to leave one. */
static __always_inline bool was_met(const struct flow_query *q, struct cell_place *place)
{
	__u32 line = print_home(q->print, cfg_start_lines);
	__u32 index = lbd_find_adopt(q, line);
	__u64 mine = print_adopt(q->print) << ADOPT_PRINT_SHIFT | (__u16)q->now;
	*place = cell_of_line(bpf_map_lookup_elem(&lbd_adopts, &line), index);
	if (place->cell && place->seen >> ADOPT_PRINT_SHIFT == print_adopt(q->print))
		return true;
	if (place->cell)
		__sync_val_compare_and_swap(place->cell, place->seen, mine);
	return false;
}

/* One of the flows that may be adopted at once. The daemon refills what there is. */
static __always_inline bool take_adopt_token(void)
{
	return READ_ONCE(lbd_adopt_tokens) > 0 && __sync_fetch_and_add(&lbd_adopt_tokens, -1) > 0;
}
#endif
