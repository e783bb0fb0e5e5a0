/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Map keys and values, limits and enums: the one header that the BPF programs and the daemon share.
 * Addresses, ports and MACs are in network order (__be*, byte arrays); all else is in host order.
 * LBD_ABI changes whenever a layout here does. */
#ifndef LBD_ABI_H
#define LBD_ABI_H
#include <linux/types.h>

#ifdef __cplusplus
#define LBD_ASSERT(what, why) static_assert(what, why)
#else
#define LBD_ASSERT(what, why) _Static_assert(what, why)
#endif

#define LBD_ABI 2

/* ---- Limits ---- */
#define ROWS_PER_WORD	    32
#define ROWS_MAX	    134217728 /* rows of all rings: 2.3 GB of rings and side records */
#define COUNTERS_MAX	    4194304
#define ROW_MOVING	    0x8000 /* of a ring row: its owner has changed (moving-rows.md) */
#define SLOT_NONE	    0x7fff /* of a ring row or a side record: no owner */
#define SLOTS_MAX	    0x7fff /* slots a service may have: 0 … SLOTS_MAX - 1 */
#define FRONTEND_BITS	    13	   /* log2 of the buckets of each frontend table */
#define FRONTEND_BUCKETS    (1 << FRONTEND_BITS)
#define SERVICES_MAX	    8192
#define BACKENDS_MAX	    1048576 /* backend records of all services, holes included */
#define NEXT_HOPS_MAX	    65536   /* a backend on link has a MAC of its own */
#define ADDRESS_FILTER_BITS 16
#define ALLOW_MAX	    65536      /* prefixes a family, of all services and of decapsulation */
#define LOCALS_MAX	    4096       /* addresses of this node */
#define SERVICE_NAME_MAX    64	       /* bytes, with the closing 0 */
#define SCOPE_DECAP	    0xffffffff /* of an allow list: senders of encapsulated packets */

/* ---- Frontends ----
 * Two tables of own buckets, one cache line each; a key lives in one of two buckets (frontend_home
 * and frontend_away in hash.h). A record is written before its key, a cell is cleared by its key
 * (IPv6: the last word of it) and filled again only after a grace period. A service's port 0 has
 * the key {address, 0, protocol | PROTOCOL_EVERY_PORT}, so that a packet to port 0 finds nothing;
 * {address, 0, 0} is the address record that each VIP has. */
#define PROTOCOL_EVERY_PORT 0x80

struct frontend {
	__u32 ring_base;    /* first row; a multiple of ROWS_PER_WORD */
	__u32 ring_size;    /* rows */
	__u32 backend_base; /* record of slot 0 in lbd_backends */
	__u32 counter_base; /* counter of slot 0 in lbd_counters */
	__u32 service;	    /* index into lbd_services; scope of the allow list */
	__u32 flags;	    /* enum frontend_flag; changes in place */
};
enum frontend_flag {
	FRONTEND_ALLOW_LIST = 1, /* the client must match lbd_allow4/6 in scope `service` */
	FRONTEND_SOURCE_IP = 2,	 /* the row comes from the client's address alone */
	/* of address records only: */
	FRONTEND_DROP_UNKNOWN = 4, /* what no port matches is dropped, not passed */
	FRONTEND_LOCAL = 8,	   /* also an address of this node: the stack may have the rest */
};

/* key: frontend_key4() of hash.h; 0: free. */
struct frontend_cell4 {
	__u64 key;
	struct frontend value;
};
struct frontend_bucket4 {
	struct frontend_cell4 cell[2];
};
/* key[0], key[1]: the address; key[2]: frontend_port_key() of hash.h; key[2] 0: free, as the port
 * key of no frontend is 0. */
struct frontend_bucket6 {
	__u64 key[3];
	struct frontend value;
	__u64 pad[2];
};

/* ---- Rings and rows (moving-rows.md 4) ---- */
/* u16 rows: ROW_MOVING | slot of the row's owner `cur`. */
struct ring_word {
	__u16 row[ROWS_PER_WORD];
};
/* Beside each row, meaningful while it is moving. The daemon writes `owner` in one store; programs
 * write `refused` and nothing else. Seconds are of CLOCK_MONOTONIC. */
struct side {
	union {
		__u32 owner;
		struct {
			__u16 home;   /* slot that owns every flow which is not stored */
			__u16 filter; /* home == cur: set of foreign entries' hash & 15; else all
					 ones */
		};
	};
	__u32 started;	   /* s, when the row began to move */
	__u32 refused;	   /* s, when a flow last was not stored for want of room */
	__u16 previous[2]; /* earlier homes, for the second chance; SLOT_NONE */
};

/* ---- Backends and next hops ---- */
struct backend {
	union {
		__be32 address4; /* outer destination */
		__u8 address6[16];
		__u32 address[4];
	};
	__u32 next_hop;	  /* index into lbd_next_hops; 0: none known */
	__u16 flags;	  /* enum backend_flag; 0 with weight 0 and generation kept: a free slot */
	__u16 generation; /* of the slot: a stored flow of another generation is nobody's */
	__u16 weight;	  /* effective, as the ring was built with */
	__u16 step;	  /* of a slow start; 0: none */
	__u32 since;	  /* s of CLOCK_MONOTONIC, when flags last changed */
};
enum backend_flag {
	BACKEND_USED = 1,	  /* the slot belongs to a backend */
	BACKEND_V6 = 2,		  /* the outer header is IPv6 */
	BACKEND_TAKES_NEW = 4,	  /* new flows may go here */
	BACKEND_SERVES_KNOWN = 8, /* known flows stay here */
	BACKEND_DRAINING = 16,	  /* known flows only, by an operator's word */
	BACKEND_REMOVED = 32,	  /* left the configuration: the slot goes when nothing names it */
};

/* All of a frame that depends on the way out and not on the backend. A record is written once,
 * before a backend names it, and reused after a grace period; only `eth0` (one aligned store)
 * changes in place, when the neighbour's MAC does. */
struct next_hop {
	__u64 eth0; /* frame bytes 0…7: destination MAC, two bytes of the source MAC */
	__u32 eth8; /* frame bytes 8…11: the rest of the source MAC */
	__u16 mtu;  /* of the way, bytes of the outer IP packet; 0: the record is free */
	__u16 pad;
	__be32 source4;	  /* outer source, IPv4; 0: none, so IPv4 backends can't be reached this way
			   */
	__u32 ifindex;	  /* egress interface */
	__u8 source6[16]; /* outer source, IPv6; all 0: none */
	__u64 reserved[3];
};

/* ---- Flows of moving rows ----
 * Two tables of own cells. A flow's 64-bit print (flow_print() in hash.h) says in which two lines
 * of each it may be, and tells it from others there. Programs insert; the daemon removes. */
struct flow_key {
	__u32 source[4]; /* network order; IPv4: word 0, the rest 0 */
	__u32 destination[4];
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 v6;       /* 0: IPv4, 1: IPv6 */
	__u16 service; /* index into lbd_services: another service's flow is another flow */
};
/* A stored flow, as packets meet it. Each half changes in one store; what is known of a flow from
 * one half holds only if the other still carries the same print. Order of insertion: `owner` by
 * compare-and-swap from 0, the detail, `life`. Of removal: `life` by compare-and-swap to 0, so that
 * a flow just seen stays, then `owner`. So a cell whose `life` is 0 is on its way in or out. */
struct flow_cell {
	union {
		__u64 owner; /* 0: free */
		struct {
			__u8 flags;	 /* enum flow_flag */
			__u8 generation; /* of the slot, its low byte */
			__u16 slot;
			__u32 tag; /* of the print */
		};
	};
	union {
		__u64 life;
		struct {
			__u32 sequence; /* TCP: of a packet of the client's, not long before the
					   last */
			__u16 seen;	/* s of CLOCK_MONOTONIC modulo 2^16, of the last packet */
			__u16 mark;	/* of the print; never 0 */
		};
	};
};
#define FLOWS_PER_LINE 4
struct flow_line {
	struct flow_cell cell[FLOWS_PER_LINE];
};
enum flow_flag {
	FLOW_USED = 1,
	FLOW_START = 2,	  /* began on a moving row; else adopted in its middle */
	FLOW_CLOSING = 4, /* FIN or RST was seen and no data after it: idle sooner */
	FLOW_PENDING = 8, /* the detail's `pending` is of this flow */
};
/* What only the daemon and rare packets ask of a stored flow; beside each cell. */
struct flow_detail {
	struct flow_key key;
	union {
		__u64 pending; /* a SYN that may replace this flow; changes in one store */
		struct {
			__u32 pending_isn;
			__u16 pending_slot; /* where it went */
			__u8 pending_generation;
			__u8 pending_second; /* modulo 2^8, of the SYN */
		};
	};
};

/* Unconfirmed starts and refused adoptions: one u64 each, 0: free, changed by compare-and-swap.
 * Start, from the top: initial sequence number 32 (UDP: the print's tag), print 12, second modulo
 * 32 5, slot 15. Adoption: print 48, second modulo 2^16 16. */
#define CELLS_PER_LINE 8
struct cell_line {
	__u64 cell[CELLS_PER_LINE];
};
#define START_SECOND_SHIFT 15
#define START_SECOND_MASK  31
#define START_PRINT_SHIFT  20
#define START_ISN_SHIFT	   32
#define ADOPT_PRINT_SHIFT  16
#define START_HOLD	   8 /* s: a younger cell is not overwritten, and a refused row does not try */
#define START_LIFE	   16 /* s: an older start is confirmed by nothing; below half of the 5 bits */

/* What became of flows on moving rows: a counter each in lbd_flow_events, of packets alone. */
enum flow_event {
	FLOW_EVENT_STARTED,   /* kept as a start */
	FLOW_EVENT_CONFIRMED, /* a start became an entry */
	FLOW_EVENT_ADOPTED,   /* an entry for a flow met in its middle */
	FLOW_EVENT_REFUSED,   /* not stored for want of room or rate: the row bears the stamp */
	FLOW_EVENT_COUNT,
};

/* ---- What a successor of the daemon needs; programs never read it ---- */
struct ring_desc {
	__u32 base; /* first row */
	__u32 size; /* rows; 0: the service has no port of this protocol */
};
struct service {
	char name[SERVICE_NAME_MAX]; /* empty: a free record */
	struct ring_desc ring[2];    /* TCP, UDP */
	__u32 backend_base;
	__u32 slots;   /* records from backend_base */
	__u32 flags;   /* enum frontend_flag of its frontends, the address record's apart */
	__u32 options; /* enum service_option */
	__u32 old_backend_base; /* with the next: the stretch that frontends may still lead to; */
	__u32 old_slots;	/* 0: none */
	__u32 left;		/* s of CLOCK_MONOTONIC, when SERVICE_LEAVING was set */
	__u32 pad;
	__u64 reserved[2];
};
enum service_option {
	SERVICE_UNTRACKED = 1, /* connectionTracking: false: rows never move */
	SERVICE_LEAVING = 2,   /* no frontend any more: goes when nothing names its slots */
};

/* ---- Allow lists and own addresses ---- */
struct allow_key4 {
	__u32 prefix_length; /* 32 for the scope and the prefix's own */
	__u32 scope;	     /* service index or SCOPE_DECAP */
	__be32 address;
};
struct allow_key6 {
	__u32 prefix_length;
	__u32 scope;
	__u8 address[16];
};
/* An address of this node, for decapsulation; IPv4 in word 0, the rest 0, and v6 0. */
struct local_key {
	__u32 address[4];
	__u32 v6;
};

/* ---- Counters ---- */
struct counter {
	__u64 packets;
	__u64 bytes; /* of the IP packet as it came; without a valid one: Ethernet's payload */
};

/* ---- Verdicts and reasons ---- */
enum verdict {
	VERDICT_NEXT,	   /* the next step has it */
	VERDICT_TUNNEL,	   /* not balanced: an encapsulated packet, perhaps for this node */
	VERDICT_UNMATCHED, /* no frontend takes it: its address decides */
	VERDICT_PASS,
	VERDICT_DROP,
	VERDICT_TX,
	VERDICT_REDIRECT,
};

/* Why a packet did not go to a backend: name, label. A label is for ever. */
#define LBD_REASONS(X)                                                                             \
	X(NONE, "")                                                                                \
	X(NOT_A_VIP, "not-a-vip")                                                                  \
	X(NO_SERVICE_PORT, "no-service-port")                                                      \
	X(NOT_ALLOWED, "not-allowed")                                                              \
	X(NO_BACKEND, "no-backend")                                                                \
	X(NO_NEIGHBOR, "no-neighbor")                                                              \
	X(TRUNCATED, "truncated")                                                                  \
	X(MALFORMED, "malformed")                                                                  \
	X(BAD_SOURCE, "bad-source")                                                                \
	X(FRAGMENT, "fragment")                                                                    \
	X(ICMP, "icmp")                                                                            \
	X(IP_OPTIONS, "ip-options")                                                                \
	X(TOO_BIG, "too-big")                                                                      \
	X(DECAPSULATED, "decapsulated")                                                            \
	X(DECAP_NOT_ALLOWED, "decap-not-allowed")                                                  \
	X(DECAP_NOT_LOCAL, "decap-not-local")                                                      \
	X(VLAN, "vlan")                                                                            \
	X(ECN, "ecn")                                                                              \
	X(INTERNAL, "internal")
#define LBD_REASON_ENUM(name, label) REASON_##name,
enum reason { LBD_REASONS(LBD_REASON_ENUM) REASON_COUNT };

/* What became of the last packet; written only where cfg_trace is set (replay, why). */
struct trace {
	__u32 verdict;
	__u32 reason;
	__u32 service; /* TRACE_NONE: no address or frontend of one was matched */
	__u32 slot;    /* TRACE_NONE: none was chosen */
};
#define TRACE_NONE 0xffffffff

/* The keys of the flow hash and of the print, drawn from the configuration's hashKey
 * (dataplane/keys.h). */
struct hash_key {
	__u64 k[11];
	__u64 print[11];
};

LBD_ASSERT(sizeof(struct frontend) == 24, "with a key of 8 a cell of 32");
LBD_ASSERT(sizeof(struct frontend_bucket4) == 64, "one cache line");
LBD_ASSERT(sizeof(struct frontend_bucket6) == 64, "one cache line");
LBD_ASSERT(sizeof(struct ring_word) == 64, "one cache line");
LBD_ASSERT(sizeof(struct side) == 16, "16 bytes a row");
LBD_ASSERT(sizeof(struct backend) == 32, "two a cache line");
LBD_ASSERT(sizeof(struct next_hop) == 64, "one cache line");
LBD_ASSERT(sizeof(struct flow_key) == 40, "no padding unnamed");
LBD_ASSERT(sizeof(struct flow_line) == 64, "one cache line");
LBD_ASSERT(sizeof(struct flow_detail) == 48, "no padding unnamed");
LBD_ASSERT(sizeof(struct cell_line) == 64, "one cache line");
LBD_ASSERT(sizeof(struct service) == 128, "two cache lines");
LBD_ASSERT(sizeof(struct allow_key4) == 12, "no padding");
LBD_ASSERT(sizeof(struct allow_key6) == 24, "no padding");
LBD_ASSERT(sizeof(struct counter) == 16, "no padding");
LBD_ASSERT(sizeof(struct trace) == 16, "no padding");
#endif
