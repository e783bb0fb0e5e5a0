/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps that packets meet, and the settings of a loaded program. Sizes marked (daemon) are set
 * before load; who writes what is told at the layouts in abi.h. */
#ifndef LBD_MAPS_H
#define LBD_MAPS_H
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* Settings: set before load, constant after it, so that the verifier removes what they switch off.
 *
 * Each packet's end is written to lbd_trace: replay and `why`, never a live program. */
const volatile bool cfg_trace = false;
/* The time is lbd_seconds instead of the kernel's clock: tests of hours. */
const volatile bool cfg_given_time = false;
/* Lines of the flow memory. */
const volatile __u32 cfg_flow_lines = 1;
const volatile __u32 cfg_start_lines = 1;
const volatile struct hash_key cfg_hash_key = {};

#define LBD_MAP(name, kind, entries, key_type, value_type, flags)                                  \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(max_entries, entries);                                                      \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
		__uint(map_flags, flags);                                                          \
	} name SEC(".maps")

LBD_MAP(lbd_frontends4, BPF_MAP_TYPE_ARRAY, FRONTEND_BUCKETS, __u32, struct frontend_bucket4,
	BPF_F_MMAPABLE);
LBD_MAP(lbd_frontends6, BPF_MAP_TYPE_ARRAY, FRONTEND_BUCKETS, __u32, struct frontend_bucket6,
	BPF_F_MMAPABLE);
LBD_MAP(lbd_ring, BPF_MAP_TYPE_ARRAY, 1 /* daemon */, __u32, struct ring_word, BPF_F_MMAPABLE);
LBD_MAP(lbd_side, BPF_MAP_TYPE_ARRAY, ROWS_PER_WORD /* daemon */, __u32, struct side,
	BPF_F_MMAPABLE);
LBD_MAP(lbd_backends, BPF_MAP_TYPE_ARRAY, 1 /* daemon */, __u32, struct backend, BPF_F_MMAPABLE);
LBD_MAP(lbd_next_hops, BPF_MAP_TYPE_ARRAY, NEXT_HOPS_MAX, __u32, struct next_hop, BPF_F_MMAPABLE);
LBD_MAP(lbd_counters, BPF_MAP_TYPE_PERCPU_ARRAY, 1 /* daemon */, __u32, struct counter, 0);
LBD_MAP(lbd_reasons, BPF_MAP_TYPE_PERCPU_ARRAY, REASON_COUNT, __u32, struct counter, 0);
LBD_MAP(lbd_flows, BPF_MAP_TYPE_ARRAY, 1 /* daemon */, __u32, struct flow_line, BPF_F_MMAPABLE);
LBD_MAP(lbd_flow_detail, BPF_MAP_TYPE_ARRAY, FLOWS_PER_LINE /* daemon */, __u32, struct flow_detail,
	BPF_F_MMAPABLE);
LBD_MAP(lbd_starts, BPF_MAP_TYPE_ARRAY, 1 /* daemon */, __u32, struct cell_line, BPF_F_MMAPABLE);
LBD_MAP(lbd_adopts, BPF_MAP_TYPE_ARRAY, 1 /* daemon */, __u32, struct cell_line, BPF_F_MMAPABLE);
LBD_MAP(lbd_flow_events, BPF_MAP_TYPE_PERCPU_ARRAY, FLOW_EVENT_COUNT, __u32, struct counter, 0);
LBD_MAP(lbd_allow4, BPF_MAP_TYPE_LPM_TRIE, ALLOW_MAX, struct allow_key4, __u8, BPF_F_NO_PREALLOC);
LBD_MAP(lbd_allow6, BPF_MAP_TYPE_LPM_TRIE, ALLOW_MAX, struct allow_key6, __u8, BPF_F_NO_PREALLOC);
LBD_MAP(lbd_locals, BPF_MAP_TYPE_HASH, LOCALS_MAX, struct local_key, __u8, BPF_F_NO_PREALLOC);

/* A bit by address (address_bit4, address_bit6 in hash.h), set before the first frontend or own
 * address that needs it is: a packet whose bit is clear is nobody's here. */
__u64 lbd_address_filter[1 << (ADDRESS_FILTER_BITS - 6)] = {};
struct trace lbd_trace = {};
__u32 lbd_seconds = 0;
/* How many flows may still be adopted without further ado; the daemon refills it. */
__s64 lbd_adopt_tokens = 0;
#endif
